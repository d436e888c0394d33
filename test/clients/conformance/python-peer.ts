/** The Python clients for the cases: a process that makes the calls it is told, test/clients/python/conformance.py. */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { directory, python, pythonEnvironment } from '../python-run.ts';
import { type ClientPeer, type Told, Unsayable } from './peer.ts';

type Reply = Told & { readonly id: number; readonly unsayable?: string };

/** @param kind whose calls wait, or are awaited */
export function pythonPeer(address: string, kind: 'sync' | 'asyncio'): ClientPeer {
  const child = spawn(python, ['conformance.py', address, kind], {
    cwd: directory,
    env: pythonEnvironment,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const waiting = new Map<number, { resolve(told: Told): void; reject(error: Error): void }>();
  let error = '';
  let last = 0;
  child.stderr.on('data', (text) => {
    error += text;
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  void ended.then(() => {
    for (const { reject } of waiting.values()) reject(new Error(`expected an answer, got the end: ${error}`));
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, unsayable, ...told } = JSON.parse(line) as Reply;
    const waits = waiting.get(id);
    waiting.delete(id);
    if (unsayable === undefined) waits?.resolve(told as Told);
    else waits?.reject(new Unsayable(unsayable));
  });
  const ask = (what: object): Promise<Told> =>
    new Promise((resolve, reject) => {
      const id = ++last;
      waiting.set(id, { resolve, reject });
      child.stdin.write(`${JSON.stringify({ id, ...what })}\n`);
    });
  let streamCount = 0;
  return {
    call: (one) => ask({ do: 'call', ...one }),
    async open(options) {
      const stream = ++streamCount;
      await ask({ do: 'open', stream, ...options });
      return {
        act: (request) => ask({ do: 'act', stream, request }),
        over: () => ask({ do: 'over', stream }),
        close: () => ask({ do: 'close', stream }),
      };
    },
    async close() {
      child.stdin.end();
      await ended;
    },
  };
}
