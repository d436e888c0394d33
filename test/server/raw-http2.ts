/** An HTTP/2 peer made of frames, which keeps to no rule that it is not told to keep: it answers neither settings nor pings by itself. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export const frameTypes = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7 } as const;

export type Frame = { readonly type: number; readonly flags: number; readonly stream: number; readonly body: Buffer };

export type RawPeer = {
  readonly socket: Socket;
  /** Every frame that came, in order. */
  readonly frames: readonly Frame[];
  send(frame: Partial<Frame> & { readonly type: number }): void;
  /** Opens a call of this path and sends nothing on it. */
  open(stream: number, path: string): void;
  /** Resolves with the first frame for which this holds. Rejects when the connection ends before. */
  until(holds: (frame: Frame) => boolean): Promise<Frame>;
  /** Resolves when the other side has ended the connection. */
  readonly closed: Promise<void>;
};

const acknowledges = 1;
const endsHeaders = 4;

/** Connects and begins as HTTP/2 begins. @param options allowHalfOpen: it does not end because the other side does */
export async function connectRaw(address: string, { allowHalfOpen = false } = {}): Promise<RawPeer> {
  const port = Number(address.slice(address.lastIndexOf(':') + 1));
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen });
  onTestFinished(() => {
    socket.destroy();
  });
  const frames: Frame[] = [];
  const closed = new Promise<void>((resolve) => socket.once('close', resolve));
  socket.on('error', () => {});
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3);
      frames.push({ type: rest[3]!, flags: rest[4]!, stream: rest.readUInt32BE(5), body: rest.subarray(9, end) });
      rest = rest.subarray(end);
    }
    socket.emit('frames');
  });
  await once(socket, 'connect');
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const peer: RawPeer = {
    socket,
    frames,
    closed,
    send: ({ type, flags = 0, stream = 0, body = Buffer.alloc(0) }) =>
      socket.write(encode({ type, flags, stream, body })),
    open: (stream, path) =>
      peer.send({ type: frameTypes.headers, flags: endsHeaders, stream, body: headerBlock(path) }),
    async until(holds) {
      for (;;) {
        const found = frames.find(holds);
        if (found !== undefined) return found;
        await Promise.race([
          once(socket, 'frames'),
          closed.then(() => {
            if (!frames.some(holds)) throw new Error('the connection ended');
          }),
        ]);
      }
    },
  };
  peer.send({ type: frameTypes.settings });
  return peer;
}

/** Tells the server that its settings are known, which is when they begin to bind. */
export async function acceptSettings(peer: RawPeer): Promise<void> {
  await peer.until(({ type, flags }) => type === frameTypes.settings && flags === 0);
  peer.send({ type: frameTypes.settings, flags: acknowledges });
}

/** The code and the text of a farewell. */
export const goawayOf = ({ body }: Frame) => ({ code: body.readUInt32BE(4), text: body.subarray(8).toString() });

function encode({ type, flags, stream, body }: Frame): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

/** Header fields of a gRPC call, uncompressed: "literal without indexing, new name" of RFC 7541, 6.2.2. */
function headerBlock(path: string): Buffer {
  const fields = {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': path,
    ':authority': 'test',
    'content-type': 'application/grpc',
    te: 'trailers',
  };
  const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  return Buffer.concat(
    Object.entries(fields).map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)])),
  );
}
