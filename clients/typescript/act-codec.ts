/**
 * The codec of Act and ActStream, written out, as the server has one: on a control loop's path the general codec is most of what the client
 * adds to a call. An answer that is unusual goes to the general codec.
 */

import { fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
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
  type ActRequestSchema,
  type ActResponse,
  ActResponseSchema,
  type ActStreamRequestSchema,
  type ActStreamResponse,
  ActStreamResponseSchema,
  type Timing,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';

/** One writer for all messages: making one takes as long as writing a message. */
const writer = new BinaryWriter();

export const encodeAct = (request: MessageInitShape<typeof ActRequestSchema>): Uint8Array =>
  finished(writer, () => writeRequest(request));

export const encodeStreamed = ({
  act,
  follow,
  newestWins,
}: MessageInitShape<typeof ActStreamRequestSchema>): Uint8Array =>
  finished(writer, () => {
    writer.uint32(tag(1, 2)).fork();
    writeRequest(act!);
    writer.join();
    writeFlag(2, follow);
    writeFlag(3, newestWins);
  });

export const decodeAct = (bytes: Uint8Array): ActResponse =>
  readOr(bytes, readResponse, () => fromBinary(ActResponseSchema, bytes));

export const decodeStreamed = (bytes: Uint8Array): ActStreamResponse =>
  readOr(bytes, readStreamed, () => fromBinary(ActStreamResponseSchema, bytes));

function writeRequest(request: MessageInitShape<typeof ActRequestSchema>): void {
  const {
    model,
    selection,
    fingerprint,
    observation,
    contextSource,
    seed,
    fallback,
    clientId,
    sequence = 0n,
  } = request;
  writeText(1, model);
  if (selection?.case === 'version') writer.uint32(tag(2, 0)).uint32(selection.value);
  if (selection?.case === 'label') writer.uint32(tag(3, 2)).string(selection.value);
  writeText(4, fingerprint);
  if (observation !== undefined) writeTensor(writer, 5, observation);
  if (contextSource?.case === 'context') writeTensor(writer, 6, contextSource.value);
  if (contextSource?.case === 'contextHandle') writer.uint32(tag(7, 2)).string(contextSource.value);
  writeFlag(8, request.sample);
  if (seed !== undefined) writer.uint32(tag(9, 0)).uint64(seed);
  writeFlag(10, request.logProb);
  writeNumber(writer, 11, request.budgetUs);
  writeNumber(writer, 12, fallback);
  writeText(13, clientId);
  if (sequence !== 0n) writer.uint32(tag(14, 0)).uint64(sequence);
}

function writeText(field: number, value = ''): void {
  if (value !== '') writer.uint32(tag(field, 2)).string(value);
}

function writeFlag(field: number, value = false): void {
  if (value) writer.uint32(tag(field, 0)).bool(true);
}

function readOr<T>(bytes: Uint8Array, read: Read<T>, general: () => T): T {
  try {
    // Pieces of a Buffer are Buffers, which take longer to make.
    return read(new BinaryReader(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)), bytes.length);
  } catch {
    return general();
  }
}

function readStreamed(reader: BinaryReader, end: number): ActStreamResponse {
  if (nextTag(reader) !== tag(1, 2)) throw unusual;
  const value = inside(reader, readResponse);
  let supersededCount = 0;
  if (reader.pos < end) {
    if (nextTag(reader) !== tag(3, 0)) throw unusual;
    supersededCount = reader.uint32();
  }
  if (reader.pos !== end) throw unusual;
  return { $typeName: 'hyperpolicy.v1.ActStreamResponse', result: { case: 'response', value }, supersededCount };
}

function readResponse(reader: BinaryReader, end: number): ActResponse {
  const message: ActResponse = {
    $typeName: 'hyperpolicy.v1.ActResponse',
    version: 0,
    weightAgeMs: 0,
    sequence: 0n,
  };
  while (reader.pos < end) readResponseField(reader, message);
  return message;
}

/** All but `fallback_taken`. */
function readResponseField(reader: BinaryReader, message: ActResponse): void {
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
