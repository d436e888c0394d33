/** A thread of the worker pool: holds sessions, runs one request after the other. Ends when told to, with its sessions. */

import { parentPort } from 'node:worker_threads';
import { type KeptOutputs, keepOutputs } from './kept-outputs.ts';
import { openSession, type Session } from './session.ts';
import { blockOf, copyTensors, placeTensors, viewTensors, writeTensors } from './shared-tensors.ts';
import { carry, type Reply, type Request } from './worker-messages.ts';

const sessions = new Map<number, { readonly session: Session; readonly outputsFor: KeptOutputs }>();
/** Inputs and outputs of each lane. */
const blocks: { input: SharedArrayBuffer; output: SharedArrayBuffer }[] = [];

const answers: { [K in Request['kind']]: (request: Extract<Request, { kind: K }>) => Reply | undefined } = {
  open({ session: id, model, options, name }) {
    // The runtime takes no shared memory; the copy is garbage once the model is loaded.
    const bytes = new Uint8Array(model).slice();
    const session = openSession(bytes, options, name);
    sessions.set(id, { session, outputsFor: keepOutputs(session) });
    return { kind: 'opened', device: session.device, inputs: session.inputs, outputs: session.outputs };
  },
  run({ session: id, lane, places, block }) {
    const { session, outputsFor } = sessions.get(id)!;
    blocks[lane] ??= { input: new SharedArrayBuffer(0), output: new SharedArrayBuffer(0) };
    const own = blocks[lane];
    own.input = block ?? own.input;
    const feeds = copyTensors(viewTensors(own.input, places));
    const outputs = session.run(feeds, outputsFor(feeds));
    const placed = placeTensors(outputs);
    const present = own.output;
    own.output = blockOf(present, placed.byteLength);
    writeTensors(own.output, placed.places, outputs);
    return { kind: 'ran', places: placed.places, ...(own.output !== present && { block: own.output }) };
  },
  close({ session: id }) {
    sessions.get(id)?.session.dispose();
    sessions.delete(id);
    return { kind: 'closed' };
  },
  end() {
    for (const { session } of sessions.values()) session.dispose();
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
