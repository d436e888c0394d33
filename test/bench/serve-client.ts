/** The client of the serving bench: Buffers in, Buffers out, the same for the server and for the yardstick. */

import grpc from '@grpc/grpc-js';

export const paths = {
  act: '/hyperpolicy.v1.PolicyService/Act',
  actStream: '/hyperpolicy.v1.PolicyService/ActStream',
  qGrad: '/hyperpolicy.v1.PolicyService/QGrad',
} as const;

/** A call that can be repeated. */
export type Call = () => Promise<Buffer>;

export type RawStream = {
  /** Sends and waits for the next answer. */
  readonly call: Call;
  /** Sends `count` messages, at most `window` ahead of their answers; milliseconds from sending to answer of each. */
  pipeline(count: number, window: number): Promise<number[]>;
  close(): void;
};

export type RawClient = {
  call(path: string, bytes: Buffer): Promise<Buffer>;
  /** @param bytes of every message */
  stream(path: string, bytes: Buffer): RawStream;
  close(): void;
};

const identity = (bytes: Buffer) => bytes;

/** A client with a connection of its own. @param timeoutMs of a call; without one it waits as long as it takes */
export function rawClient(port: number, timeoutMs?: number): RawClient {
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
    'grpc.enable_channelz': 0,
    'grpc.use_local_subchannel_pool': 1,
  });
  return {
    call: (path, bytes) =>
      new Promise((resolve, reject) => {
        const options = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
        client.makeUnaryRequest(path, identity, identity, bytes, options, (error, response) =>
          error === null ? resolve(response!) : reject(error),
        );
      }),
    stream: (path, bytes) => rawStream(client.makeBidiStreamRequest(path, identity, identity), bytes),
    close: () => client.close(),
  };
}

function rawStream(stream: grpc.ClientDuplexStream<Buffer, Buffer>, bytes: Buffer): RawStream {
  let onAnswer: (answer: Buffer) => void = () => {};
  let onError: (error: Error) => void = () => {};
  let failure: Error | undefined;
  stream.on('data', (answer: Buffer) => onAnswer(answer));
  stream.on('error', (error) => {
    failure = error;
    onError(error);
  });
  const answers = <T>(begin: (resolve: (value: T) => void) => void) =>
    new Promise<T>((resolve, reject) => {
      if (failure !== undefined) {
        reject(failure);
        return;
      }
      onError = reject;
      begin(resolve);
    });
  return {
    call: () =>
      answers((resolve) => {
        onAnswer = resolve;
        stream.write(bytes);
      }),
    pipeline: (count, window) =>
      answers((resolve) => {
        const times = new Array<number>(count).fill(0);
        let sent = 0;
        let answered = 0;
        const send = () => {
          while (sent < count && sent - answered < window) {
            times[sent++] = performance.now();
            stream.write(bytes);
          }
        };
        onAnswer = () => {
          times[answered] = performance.now() - times[answered]!;
          answered++;
          if (answered === count) resolve(times);
          else if (sent - answered < window / 2) send();
        };
        send();
      }),
    close: () => stream.end(),
  };
}
