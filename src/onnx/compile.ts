/** From a graph to something that runs. */

import { encode } from './encode.ts';
import type { Graph } from './graph.ts';
import { optimise } from './passes/index.ts';
import { cutLongProducts } from './passes/long-products.ts';
import { candidates } from './providers.ts';
import { openSession, type Session, type SessionOptions } from './session.ts';

/** Cleans and encodes a graph, and opens a session on it. The caller disposes the session. */
export function compile(graph: Graph, options: SessionOptions): Session {
  const clean = optimise(graph);
  const isForCpu = candidates(options.device ?? 'cpu')[0] === 'cpu';
  return openSession(encode(isForCpu ? cutLongProducts(clean) : clean), options, graph.name);
}
