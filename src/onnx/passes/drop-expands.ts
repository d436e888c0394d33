/** Lets operators that broadcast read what an `Expand` would repeat: the repeated tensor is never made. */

import type { Graph, Shape, Value } from '../graph.ts';
import { sameShape } from '../graph.ts';
import { broadcastShapes } from '../ops/shape-rules.ts';
import { broadcasting, rewrite } from './rewrite.ts';

export function dropExpands(graph: Graph): Graph {
  return rewrite(graph, (node, { g, producer }) => {
    if (!broadcasting.has(node.op)) return undefined;
    const output = node.outputs[0]!;
    const inputs = node.inputs as Value[];
    const slim = [...inputs];
    inputs.forEach((input, i) => {
      const expand = producer(input);
      if (expand?.op !== 'Expand') return;
      const shapes = slim.map((value, j) => (j === i ? expand.inputs[0]! : value).shape);
      if (sameShape(shapes.reduce(broadcast), output.shape)) slim[i] = expand.inputs[0]!;
    });
    return slim.some((value, i) => value !== inputs[i]) ? g.emit(node.op, slim, output, node.attributes) : undefined;
  });
}

const broadcast = (a: Shape, b: Shape): Shape => broadcastShapes('Expand', a, b);
