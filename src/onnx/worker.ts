/**
 * A thread of the worker pool: holds sessions, runs one request after the other. Opening a graph is done in steps at low priority, with
 * runs between. Ends when told to, with its sessions.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { type Answerers, Link } from '../messages/link.ts';
import { createStepper } from '../pacing/unhurried.ts';
import { readListedFile } from '../package/listed-file.ts';
import { createOutputMemory, type KeptOutputs, keepOutputs } from './kept-outputs.ts';
import { atLowPriority, systemThreadId, threadId } from './low-priority.ts';
import { openWarm } from './open-warm.ts';
import type { Session } from './session.ts';
import { blockOf, copyTensors, placeTensors, viewTensors, writeTensors } from './shared-tensors.ts';
import type { ToPool, ToThread, WorkerData } from './worker-messages.ts';

const sessions = new Map<number, { readonly session: Session; readonly outputsFor: KeptOutputs }>();
/** Of every session: one runs at a time, and its outputs are copied before the next. */
const outputMemory = createOutputMemory();
/** Inputs and outputs of each lane. */
const blocks: { input: SharedArrayBuffer; output: SharedArrayBuffer }[] = [];

const { systemId, calls } = workerData as WorkerData;
systemId[0] = threadId();
systemId[1] = systemThreadId();

/** Runs a native call, and counts it for the watch. */
function watched<T>(session: number, call: () => T): T {
  calls[1] = session;
  Atomics.add(calls, 0, 1);
  try {
    return call();
  } finally {
    Atomics.add(calls, 0, 1);
  }
}

const answer: Answerers<ToThread> = {
  async open({ session: id, model, second, options, warmUpRowCounts, restRatio, name }) {
    const step = createStepper(restRatio);
    // The runtime takes no shared memory. Either copy is garbage once the model is loaded.
    const bytes =
      model instanceof SharedArrayBuffer ? new Uint8Array(model).slice() : await readListedFile(model, step);
    const session = await openWarm(bytes, {
      name,
      options,
      warmUpRowCounts,
      second,
      step: (call) => step(() => watched(id, () => atLowPriority(call))),
      runOf(opened) {
        const outputsFor = keepOutputs(opened, outputMemory);
        return (feeds) => opened.run(feeds, outputsFor(feeds));
      },
    });
    sessions.set(id, { session, outputsFor: keepOutputs(session, outputMemory) });
    return { device: session.device, inputs: session.inputs, outputs: session.outputs };
  },
  run({ session: id, lane, places, block, outputs: names }) {
    const { session, outputsFor } = sessions.get(id)!;
    blocks[lane] ??= { input: new SharedArrayBuffer(0), output: new SharedArrayBuffer(0) };
    const own = blocks[lane];
    own.input = block ?? own.input;
    const feeds = copyTensors(viewTensors(own.input, places));
    const outputs = watched(id, () => session.run(feeds, outputsFor(feeds, names), names));
    const placed = placeTensors(outputs);
    const present = own.output;
    own.output = blockOf(present, placed.byteLength);
    writeTensors(own.output, placed.places, outputs);
    return { places: placed.places, ...(own.output !== present && { block: own.output }) };
  },
  close({ session: id }) {
    sessions.get(id)?.session.dispose();
    sessions.delete(id);
    return null;
  },
  end() {
    for (const { session } of sessions.values()) session.dispose();
    sessions.clear();
    parentPort!.close();
    return null;
  },
};

const link = new Link<ToPool, ToThread>({
  name: 'worker pool',
  send: (message) => parentPort!.postMessage(message),
  answer,
});
parentPort!.on('message', (message) => link.receive(message));
