import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { guardConnections } from '../../src/contract/http-connections.ts';

const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`;

/** A client of a guarded server whose answers may stay unread for a second. */
async function connected(answer: (path: string, response: ServerResponse) => void): Promise<Socket> {
  const server = createServer(({ url }, response) => answer(url!, response));
  guardConnections(server, 10, 1000);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => {});
  onTestFinished(() => {
    socket.destroy();
    server.closeAllConnections();
    server.close();
  });
  return socket;
}

test('one answer that nobody reads ends the connection, also before all of it is written', async () => {
  const socket = await connected((_, response) => {
    // As a writer that waits until there is room: the answer has not ended.
    response.write(Buffer.alloc(2 ** 25));
    response.once('close', () => socket.emit('cut'));
  });
  socket.pause();
  socket.write(get('/'));
  await once(socket, 'cut');
});

test('a call that takes long is answered, though an answer went before it on the connection', async () => {
  const socket = await connected((path, response) => {
    if (path === '/large') response.end(Buffer.alloc(2 ** 25));
    else setTimeout(() => response.end('late'), 2500);
  });
  socket.write(get('/large') + get('/slow'));
  let end = '';
  for await (const chunk of socket) {
    end = chunk.toString('latin1').slice(-10);
    if (end.includes('late')) break;
  }
  expect(end).toContain('late');
});
