/**
 * The yardstick of the serving bench: a bare grpc-js server in a process of its own. It hands over Buffers untouched, with no codec,
 * interceptor or log, under the same channel options as the real server.
 *
 * Arguments: bytes of a response of the single call, and of the stream. Prints its port.
 */

import grpc from '@grpc/grpc-js';
import { serverDefaults } from '../../server/config.ts';
import { channelOptions } from '../../server/grpc.ts';

const response = Buffer.alloc(Number(process.argv[2]));
const streamResponse = Buffer.alloc(Number(process.argv[3]));
const identity = (bytes: Buffer) => bytes;
const codec = {
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
};
const server = new grpc.Server(channelOptions(serverDefaults));
server.addService(
  {
    Echo: { path: '/bench.Echo/Echo', requestStream: false, responseStream: false, ...codec },
    EchoStream: { path: '/bench.Echo/EchoStream', requestStream: true, responseStream: true, ...codec },
  },
  {
    Echo(_call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) {
      callback(null, response);
    },
    EchoStream(stream: grpc.ServerDuplexStream<Buffer, Buffer>) {
      stream.on('data', () => stream.write(streamResponse));
      stream.on('end', () => stream.end());
    },
  },
);
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  process.stdout.write(`${port}\n`);
});
