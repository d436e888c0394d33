/** From a graph to something that runs. */

import { encode } from './encode.ts';
import type { Graph } from './graph.ts';
import { optimise } from './passes/index.ts';
import { cutLongProducts } from './passes/long-products.ts';
import { openSession, type Session, type SessionOptions } from './session.ts';

/** Cleans and encodes a graph, and opens a session on it. The caller disposes the session. */
export function compile(graph: Graph, options: SessionOptions): Session {
  const clean = optimise(graph);
  const openOnCpu = () => openSession(encode(cutLongProducts(clean)), { ...options, device: 'cpu' }, graph.name);
  if ((options.device ?? 'cpu') === 'cpu') return openOnCpu();
  const session = openSession(encode(clean), options, graph.name);
  if (session.device !== 'cpu') return session;
  // What `auto` tried before takes no such graph.
  session.dispose();
  return { ...openOnCpu(), skipped: session.skipped };
}
