/** `node opens.js DEVICE`: runs one graph there, in a process of its own, which a driver may end. Exits with 1 and the reason where it cannot. */

import { createBuilder, fill } from '../../../src/onnx/builder.ts';
import { encode } from '../../../src/onnx/encode.ts';
import { mul } from '../../../src/onnx/ops/elementwise.ts';
import type { Device } from '../../../src/onnx/providers.ts';
import { floatTensor, openSession } from '../../../src/onnx/session.ts';

const device = process.argv[2] as Device;
const g = createBuilder();
const y = mul(g, g.input('x', 'float32', [2]), fill(2, 'float32', []));
const model = encode(g.finish('doubled', [{ name: 'y', value: y }]));
try {
  const session = openSession(model, { threadCount: 1, device }, 'a small graph');
  const { data } = session.run({ x: floatTensor(new Float32Array([1, 2]), [2]) }).y!;
  const actual = `${data}`;
  if (actual !== '2,4') throw new Error(`a small graph: expected 2,4, got ${actual}`);
} catch (error) {
  console.log((error as Error).message);
  process.exit(1);
}
