/** A thread of the worker pool: holds sessions, runs one request after the other. Ends when told to, with its sessions. */

import { parentPort } from 'node:worker_threads';
import { openSession, type Session } from './session.ts';
import { blockOf, placeTensors, readTensors, writeTensors } from './shared-tensors.ts';
import { carry, type Reply, type Request } from './worker-messages.ts';

const sessions = new Map<number, Session>();
let inputBlock = new SharedArrayBuffer(0);
let outputBlock = new SharedArrayBuffer(0);

const answers: { [K in Request['kind']]: (request: Extract<Request, { kind: K }>) => Reply | undefined } = {
  open({ session: id, model, options, name }) {
    // The runtime takes no shared memory; the copy is garbage once the model is loaded.
    const bytes = new Uint8Array(model).slice();
    const session = openSession(bytes, options, name);
    sessions.set(id, session);
    return { kind: 'opened', device: session.device, inputs: session.inputs, outputs: session.outputs };
  },
  run({ session: id, places, block }) {
    inputBlock = block ?? inputBlock;
    const outputs = sessions.get(id)!.run(readTensors(inputBlock, places));
    const placed = placeTensors(outputs);
    const present = outputBlock;
    outputBlock = blockOf(present, placed.byteLength);
    writeTensors(outputBlock, placed.places, outputs);
    return { kind: 'ran', places: placed.places, ...(outputBlock !== present && { block: outputBlock }) };
  },
  close({ session: id }) {
    sessions.get(id)?.dispose();
    sessions.delete(id);
    return { kind: 'closed' };
  },
  end() {
    for (const session of sessions.values()) session.dispose();
    sessions.clear();
    parentPort!.close();
    return undefined;
  },
};

parentPort!.on('message', (request: Request) => {
  let reply: Reply | undefined;
  try {
    reply = answers[request.kind](request as never);
  } catch (error) {
    reply = { kind: 'failed', error: carry(error) };
  }
  if (reply !== undefined) parentPort!.postMessage(reply);
});
