/** What a drain of an HTTP port does to answers that are being written or sent. Through the whole server: http.test.ts. */

import { once } from 'node:events';
import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import { createHttpDrain } from '../../../server/transport/http-drain.ts';
import { guardConnections } from '../../../src/contract/http-connections.ts';

const request = 'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n';
/** No test may take so long. */
const drainMs = 600_000;

/** A port that never ends a connection by itself. */
async function listening(answer: RequestListener) {
  const server = createServer({ keepAliveTimeout: 0 }, answer);
  const connections = guardConnections(server, 10);
  const drain = createHttpDrain(server, connections);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  let openCount = 0;
  const open = async (): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1');
    onTestFinished(() => {
      socket.destroy();
    });
    await once(socket, 'connect');
    openCount++;
    await vi.waitFor(() => expect(connections.count).toBe(openCount));
    return socket;
  };
  /** Until connections without a request have ended. */
  const idleHaveEnded = async (silent: Socket) => {
    silent.resume();
    await once(silent, 'close');
  };
  return { drain, open, idleHaveEnded };
}

/** All that comes until the connection ends. */
async function textOf(socket: Socket): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of socket) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('latin1');
}

test('an answer that has ended and waits to be read is sent to its last byte', async () => {
  const size = 2 ** 25;
  let isAnswered = () => {};
  const answered = new Promise<void>((resolve) => {
    isAnswered = resolve;
  });
  const { drain, open, idleHaveEnded } = await listening((_, response) => {
    response.end(Buffer.alloc(size, 'a'));
    isAnswered();
  });
  const [slow, silent] = [await open(), await open()];
  slow.pause();
  slow.write(request);
  await answered;
  const drained = drain(drainMs);
  await idleHaveEnded(silent);
  const [head, body] = (await textOf(slow)).split('\r\n\r\n');
  expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(body!.length).toBe(size);
  await drained;
});

test('a connection whose answer began before the drain ends after it, once a request on its way is answered', async () => {
  const responses: ServerResponse[] = [];
  const { drain, open, idleHaveEnded } = await listening((_, response) => {
    responses.push(response);
    if (responses.length > 2) response.end('second');
    else response.write('first');
  });
  const [busy, last, silent] = [await open(), await open(), await open()];
  let text = '';
  busy.on('data', (data) => {
    text += data;
  });
  busy.write(request);
  await vi.waitFor(() => expect(text).toContain('first'));
  last.write(request);
  await vi.waitFor(() => expect(responses).toHaveLength(2));
  const drained = drain(drainMs);
  await idleHaveEnded(silent);
  for (const response of responses) response.end();
  await vi.waitFor(() => expect(text).toContain('\r\n0\r\n\r\n'));
  busy.write(request);
  await once(busy, 'end');
  const heads = text.split('HTTP/1.1 200 OK').slice(1);
  expect(heads.map((head) => /^connection: (.*)\r$/im.exec(head)?.[1])).toEqual(['keep-alive', 'close']);
  expect(heads[1]).toContain('second');
  expect(await textOf(last)).toContain('first');
  await drained;
});
