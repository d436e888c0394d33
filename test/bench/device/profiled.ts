/**
 * `node --import profiled.js ...`: each session of the process, in its threads too, writes a profile of its runs when it is disposed, into the
 * folder of the variable CHECK_PROFILES, under the name of {@link profileName}.
 */

import { threadId } from 'node:worker_threads';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { nativeBinding } from '../../../src/onnx/native.ts';
import { profileName } from './profiles.ts';

const folder = process.env.CHECK_PROFILES!;
const binding = nativeBinding() as { InferenceSession: ReturnType<typeof nativeBinding>['InferenceSession'] };
let count = 0;

binding.InferenceSession = class extends binding.InferenceSession {
  override loadModel(buffer: ArrayBufferLike, begin: number, size: number, options: object): void {
    const [device] = (options as { executionProviders: readonly [string] }).executionProviders;
    const graph = graphNameOf(new Uint8Array(buffer, begin, size));
    const prefix = profileName({ device, graph, id: `${process.pid}-${threadId}-${count++}` });
    super.loadModel(buffer, begin, size, {
      ...options,
      enableProfiling: true,
      profileFilePrefix: `${folder}/${prefix}`,
    });
  }
};

/** `ModelProto.graph.name`, without reading the rest. */
function graphNameOf(model: Uint8Array): string {
  const graph = fieldOf(model, 7);
  return graph === undefined ? '' : new TextDecoder().decode(fieldOf(graph, 2));
}

function fieldOf(message: Uint8Array, wanted: number): Uint8Array | undefined {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === wanted) return reader.bytes();
    reader.skip(wireType, field);
  }
  return undefined;
}
