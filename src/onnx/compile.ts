/** From a graph to something that runs. */

import { encode } from './encode.ts';
import type { Graph } from './graph.ts';
import { optimise } from './passes/index.ts';
import { openSession, type Session, type SessionOptions } from './session.ts';

/** Cleans and encodes a graph, and opens a session on it. The caller disposes the session. */
export const compile = (graph: Graph, options: SessionOptions): Session =>
  openSession(encode(optimise(graph)), options, graph.name);
