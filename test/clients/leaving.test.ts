/** Which connections are found to leave, where the library's channel is a stand-in. */

import { EventEmitter, once } from 'node:events';
import { connect, createServer } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type grpc from '@grpc/grpc-js';
import { expect, onTestFinished, test } from 'vitest';
import { createLeaving } from '../../clients/typescript/leaving.ts';

/** A client with a connection for each session. */
const clientOf = (...sessions: object[]) =>
  ({
    getChannel: () => ({
      internalChannel: {
        wrappedSubchannels: sessions.map((session) => ({ getRealSubchannel: () => ({ transport: { session } }) })),
      },
    }),
  }) as unknown as grpc.Client;

const socketTo = (remoteAddress: string) =>
  ({ localAddress: '10.0.0.1', localPort: 40_000, remoteAddress, remotePort: 50_051 }) as Socket;

test('a session that is destroyed is passed over', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await once(session, 'connect');
  expect(session.socket.localPort).toBeGreaterThan(0);
  session.destroy();
  await once(session, 'close');
  expect(() => session.socket.localPort).toThrow();
  expect(createLeaving().has(clientOf(session), socketTo('10.0.0.2'))).toBe(false);
});

test('connections from one port to two addresses leave each for itself', () => {
  const [first, second] = ['10.0.0.2', '10.0.0.3'].map(socketTo) as [Socket, Socket];
  const sessions = [first, second].map((socket) => Object.assign(new EventEmitter(), { socket, destroyed: false }));
  const leaving = createLeaving();
  const left = () => [first, second].map((socket) => leaving.has(clientOf(...sessions), socket));
  expect(left()).toEqual([false, false]);
  sessions[0]!.emit('goaway');
  expect(left()).toEqual([true, false]);
  sessions[1]!.emit('goaway');
  sessions[0]!.emit('close');
  expect(left()).toEqual([false, true]);
});
