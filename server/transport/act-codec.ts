/**
 * A faster codec for Act and ActStream: to read a request and write its answer takes 2.4 us, with the general codec 7.0
 * (test/bench/NOTES.md). A message with a repeated field, an unknown field or anything else unusual goes to the general codec, so both
 * give the same results.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import {
  finished,
  inside,
  nextTag,
  type Read,
  readTensor,
  tag,
  unusual,
  writeNumber,
  writeTensor,
} from '../../src/contract/wire.ts';
import {
  type ActRequest,
  type ActRequestSchema,
  type ActResponseSchema,
  type ActStreamRequest,
  type ActStreamRequestSchema,
  type ActStreamResponseSchema,
  type Fallback,
  PolicyService,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { type Codec, descriptorCodec } from './codec.ts';

const generalAct = descriptorCodec(PolicyService.method.act);
const generalStream = descriptorCodec(PolicyService.method.actStream);

export const actCodec: Codec<typeof ActRequestSchema, typeof ActResponseSchema> = {
  decode: (bytes) => readOr(bytes, readAct, generalAct.decode),
  encode(response) {
    return response.fallbackTaken === undefined ? written(() => writeResponse(response)) : generalAct.encode(response);
  },
};

export const actStreamCodec: Codec<typeof ActStreamRequestSchema, typeof ActStreamResponseSchema> = {
  decode: (bytes) => readOr(bytes, readStreamRequest, generalStream.decode),
  encode(response) {
    const { result, supersededCount = 0 } = response;
    if (result?.case !== 'response' || result.value.fallbackTaken !== undefined) return generalStream.encode(response);
    return written(() => {
      writer.uint32(tag(1, 2)).fork();
      writeResponse(result.value);
      writer.join();
      writeNumber(writer, 3, supersededCount);
    });
  },
};

function readOr<T>(bytes: Buffer, read: Read<T>, general: (bytes: Buffer) => T): T {
  try {
    return read(new BinaryReader(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)), bytes.length);
  } catch {
    return general(bytes);
  }
}

function readStreamRequest(reader: BinaryReader, end: number): ActStreamRequest {
  const message: ActStreamRequest = {
    $typeName: 'hyperpolicy.v1.ActStreamRequest',
    follow: false,
    newestWins: false,
  };
  while (reader.pos < end) {
    switch (nextTag(reader)) {
      case tag(1, 2):
        if (message.act !== undefined) throw unusual;
        message.act = inside(reader, readAct);
        break;
      case tag(2, 0):
        message.follow = reader.bool();
        break;
      case tag(3, 0):
        message.newestWins = reader.bool();
        break;
      default:
        throw unusual;
    }
  }
  return message;
}

function readAct(reader: BinaryReader, end: number): ActRequest {
  const message: ActRequest = {
    $typeName: 'hyperpolicy.v1.ActRequest',
    model: '',
    selection: { case: undefined },
    fingerprint: '',
    contextSource: { case: undefined },
    sample: false,
    logProb: false,
    budgetUs: 0,
    fallback: 0,
    clientId: '',
    sequence: 0n,
  };
  while (reader.pos < end) readActField(reader, message);
  return message;
}

function readActField(reader: BinaryReader, message: ActRequest): void {
  switch (nextTag(reader)) {
    case tag(1, 2):
      message.model = reader.string(true);
      break;
    case tag(2, 0):
      message.selection = { case: 'version', value: reader.uint32() };
      break;
    case tag(3, 2):
      message.selection = { case: 'label', value: reader.string(true) };
      break;
    case tag(4, 2):
      message.fingerprint = reader.string(true);
      break;
    case tag(5, 2):
      if (message.observation !== undefined) throw unusual;
      message.observation = inside(reader, readTensor);
      break;
    case tag(6, 2):
      if (message.contextSource.case === 'context') throw unusual;
      message.contextSource = { case: 'context', value: inside(reader, readTensor) };
      break;
    case tag(7, 2):
      message.contextSource = { case: 'contextHandle', value: reader.string(true) };
      break;
    case tag(8, 0):
      message.sample = reader.bool();
      break;
    case tag(9, 0):
      message.seed = reader.uint64() as bigint;
      break;
    case tag(10, 0):
      message.logProb = reader.bool();
      break;
    case tag(11, 0):
      message.budgetUs = reader.uint32();
      break;
    case tag(12, 0):
      message.fallback = reader.int32() as Fallback;
      break;
    case tag(13, 2):
      message.clientId = reader.string(true);
      break;
    case tag(14, 0):
      message.sequence = reader.uint64() as bigint;
      break;
    default:
      throw unusual;
  }
}

/** One writer for all messages: to create one takes as long as to write a message. */
const writer = new BinaryWriter();

/** The bytes are copied to a Buffer of Node's pool, since grpc-js needs a Buffer and the writer is reused. */
const written = (write: () => void): Buffer => Buffer.from(finished(writer, write));

type Response = MessageInitShape<typeof ActResponseSchema>;

/** Writes all fields but `fallbackTaken`. */
function writeResponse(response: Response): void {
  const { action, logProb, seed, version = 0, weightAgeMs = 0, sequence = 0n, timing } = response;
  if (action !== undefined) writeTensor(writer, 1, action);
  if (logProb !== undefined) writeTensor(writer, 2, logProb);
  if (seed !== undefined) writer.uint32(tag(3, 0)).uint64(seed);
  writeNumber(writer, 4, version);
  if (weightAgeMs !== 0) writer.uint32(tag(5, 1)).double(weightAgeMs);
  if (sequence !== 0n) writer.uint32(tag(6, 0)).uint64(sequence);
  if (timing === undefined) return;
  writer.uint32(tag(7, 2)).fork();
  writeNumber(writer, 1, timing.totalUs);
  writeNumber(writer, 2, timing.primaryUs);
  writeNumber(writer, 3, timing.networkUs);
  writeNumber(writer, 4, timing.eventLoopDelayUs);
  writer.join();
}
