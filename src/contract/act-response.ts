/** Act's answer, and a stream's, written out: the server writes them and the client reads them. An error or a fallback goes to the general codec. */

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { BinaryReader } from '@bufbuild/protobuf/wire';
import {
  type ActResponse,
  ActResponseSchema,
  type ActStreamResponse,
  ActStreamResponseSchema,
  type Timing,
} from '../gen/hyperpolicy/v1/policy_service_pb.ts';
import {
  inside,
  nextTag,
  type Read,
  readOr,
  readTensor,
  tag,
  unusual,
  writeNumber,
  writeTensor,
  written,
} from './wire.ts';
import type { WireWriter } from './wire-writer.ts';

type ActInit = MessageInitShape<typeof ActResponseSchema>;

export const encodeActResponse = (response: ActInit): Uint8Array =>
  response.fallbackTaken === undefined
    ? written((writer) => writeAct(writer, response))
    : toBinary(ActResponseSchema, create(ActResponseSchema, response));

export function encodeActStreamResponse(response: MessageInitShape<typeof ActStreamResponseSchema>): Uint8Array {
  const { result, supersededCount = 0 } = response;
  if (result?.case !== 'response' || result.value.fallbackTaken !== undefined) {
    return toBinary(ActStreamResponseSchema, create(ActStreamResponseSchema, response));
  }
  return written((writer) => {
    writer.uint32(tag(1, 2)).fork();
    writeAct(writer, result.value);
    writer.join();
    writeNumber(writer, 3, supersededCount);
  });
}

/** @throws Error if the bytes are no such message */
export const decodeActResponse = (bytes: Uint8Array): ActResponse =>
  readOr(bytes, readAct, () => fromBinary(ActResponseSchema, bytes));

/** @throws Error if the bytes are no such message */
export const decodeActStreamResponse = (bytes: Uint8Array): ActStreamResponse =>
  readOr(bytes, readStreamResponse, () => fromBinary(ActStreamResponseSchema, bytes));

/** Writes all fields but `fallbackTaken`. */
function writeAct(writer: WireWriter, response: ActInit): void {
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

function readStreamResponse(reader: BinaryReader, end: number): ActStreamResponse {
  if (nextTag(reader) !== tag(1, 2)) throw unusual;
  const value = inside(reader, readAct);
  let supersededCount = 0;
  if (reader.pos < end) {
    if (nextTag(reader) !== tag(3, 0)) throw unusual;
    supersededCount = reader.uint32();
  }
  if (reader.pos !== end) throw unusual;
  return { $typeName: 'hyperpolicy.v1.ActStreamResponse', result: { case: 'response', value }, supersededCount };
}

function readAct(reader: BinaryReader, end: number): ActResponse {
  const message: ActResponse = {
    $typeName: 'hyperpolicy.v1.ActResponse',
    version: 0,
    weightAgeMs: 0,
    sequence: 0n,
  };
  while (reader.pos < end) readActField(reader, message);
  return message;
}

/** All but `fallback_taken`. */
function readActField(reader: BinaryReader, message: ActResponse): void {
  switch (nextTag(reader)) {
    case tag(1, 2):
      if (message.action !== undefined) throw unusual;
      message.action = inside(reader, readTensor);
      break;
    case tag(2, 2):
      if (message.logProb !== undefined) throw unusual;
      message.logProb = inside(reader, readTensor);
      break;
    case tag(3, 0):
      message.seed = reader.uint64() as bigint;
      break;
    case tag(4, 0):
      message.version = reader.uint32();
      break;
    case tag(5, 1):
      message.weightAgeMs = reader.double();
      break;
    case tag(6, 0):
      message.sequence = reader.uint64() as bigint;
      break;
    case tag(7, 2):
      if (message.timing !== undefined) throw unusual;
      message.timing = inside(reader, readTiming);
      break;
    default:
      throw unusual;
  }
}

const readTiming: Read<Timing> = (reader, end) => {
  const timing: Timing = {
    $typeName: 'hyperpolicy.v1.Timing',
    totalUs: 0,
    primaryUs: 0,
    networkUs: 0,
    eventLoopDelayUs: 0,
  };
  while (reader.pos < end) {
    switch (nextTag(reader)) {
      case tag(1, 0):
        timing.totalUs = reader.uint32();
        break;
      case tag(2, 0):
        timing.primaryUs = reader.uint32();
        break;
      case tag(3, 0):
        timing.networkUs = reader.uint32();
        break;
      case tag(4, 0):
        timing.eventLoopDelayUs = reader.uint32();
        break;
      default:
        throw unusual;
    }
  }
  return timing;
};
