/**
 * A faster codec for Act and ActStream: to read a request and write its answer takes 2.4 us, with the general codec 7.0
 * (test/bench/NOTES.md). A message with a repeated field, an unknown field or anything else unusual goes to the general codec, so both
 * give the same results.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
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
import type { Tensor, TensorSchema } from '../../src/gen/hyperpolicy/v1/tensor_pb.ts';
import { type Codec, descriptorCodec } from './codec.ts';

/** The tag before a field: its number and its wire type, which is 0 for varint, 1 for eight bytes, 2 for length-delimited. */
const tag = (field: number, wireType: 0 | 1 | 2): number => field * 8 + wireType;

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
      writeNumber(3, supersededCount);
    });
  },
};

/** Reads a message up to `end`. Throws if it is unusual or broken. */
type Read<T> = (reader: BinaryReader, end: number) => T;

function readOr<T>(bytes: Buffer, read: Read<T>, general: (bytes: Buffer) => T): T {
  try {
    return read(new BinaryReader(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)), bytes.length);
  } catch {
    return general(bytes);
  }
}

const unusual = new Error('for the general codec');

/** Reads a message inside another. */
function inside<T>(reader: BinaryReader, read: Read<T>): T {
  const end = reader.uint32() + reader.pos;
  const message = read(reader, end);
  if (reader.pos !== end) throw unusual;
  return message;
}

function nextTag(reader: BinaryReader): number {
  const [field, wireType] = reader.tag();
  return field * 8 + wireType;
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

const readTensor: Read<Tensor> = (reader, end) => {
  let shape: number[] = [];
  let data: Uint8Array = noBytes;
  while (reader.pos < end) {
    switch (nextTag(reader)) {
      case tag(1, 2):
        if (shape.length > 0) throw unusual;
        shape = inside(reader, readNumbers);
        break;
      case tag(2, 2):
        data = reader.bytes();
        break;
      default:
        throw unusual;
    }
  }
  return { $typeName: 'hyperpolicy.v1.Tensor', shape, data };
};

const noBytes = new Uint8Array(0);

function readNumbers(reader: BinaryReader, end: number): number[] {
  const numbers: number[] = [];
  while (reader.pos < end) numbers.push(reader.uint32());
  return numbers;
}

/** One writer for all messages: to create one takes as long as to write a message. */
const writer = new BinaryWriter();

/** The bytes are copied to a Buffer of Node's pool, since grpc-js needs a Buffer and the writer is reused. */
function written(write: () => void): Buffer {
  try {
    write();
  } catch (error) {
    // Empties the writer.
    writer.finish();
    throw error;
  }
  return Buffer.from(writer.finish());
}

type Response = MessageInitShape<typeof ActResponseSchema>;

/** Writes all fields but `fallbackTaken`. */
function writeResponse(response: Response): void {
  const { action, logProb, seed, version = 0, weightAgeMs = 0, sequence = 0n, timing } = response;
  if (action !== undefined) writeTensor(1, action);
  if (logProb !== undefined) writeTensor(2, logProb);
  if (seed !== undefined) writer.uint32(tag(3, 0)).uint64(seed);
  writeNumber(4, version);
  if (weightAgeMs !== 0) writer.uint32(tag(5, 1)).double(weightAgeMs);
  if (sequence !== 0n) writer.uint32(tag(6, 0)).uint64(sequence);
  if (timing === undefined) return;
  writer.uint32(tag(7, 2)).fork();
  writeNumber(1, timing.totalUs);
  writeNumber(2, timing.primaryUs);
  writeNumber(3, timing.networkUs);
  writeNumber(4, timing.eventLoopDelayUs);
  writer.join();
}

/** Leaves out 0, as proto3 does. */
function writeNumber(field: number, value = 0): void {
  if (value !== 0) writer.uint32(tag(field, 0)).uint32(value);
}

function writeTensor(field: number, { shape = [], data = noBytes }: MessageInitShape<typeof TensorSchema>): void {
  writer.uint32(tag(field, 2)).fork();
  if (shape.length > 0) {
    writer.uint32(tag(1, 2)).fork();
    for (const size of shape) writer.uint32(size);
    writer.join();
  }
  if (data.length > 0) writer.uint32(tag(2, 2)).bytes(data);
  writer.join();
}
