/**
 * The codec of Act and ActStream, written out: these messages come by the thousand, and reading them by their descriptors costs more
 * than computing the action. What is unusual in a message (a field twice, text beyond ASCII, an unknown field) goes to the
 * general codec, so that both read the same.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
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
import { unusual, varintSize, WireReader, WireWriter } from './wire.ts';

/** A field's number and wire type as they stand before it: 0 varint, 1 eight bytes, 2 length-delimited. */
const tag = (field: number, wireType: 0 | 1 | 2): number => field * 8 + wireType;

const generalAct = descriptorCodec(PolicyService.method.act);
const generalStream = descriptorCodec(PolicyService.method.actStream);

export const actCodec: Codec<typeof ActRequestSchema, typeof ActResponseSchema> = {
  decode: (bytes) => readOr(bytes, readAct, generalAct.decode),
  encode(response) {
    if (!isUsual(response)) return generalAct.encode(response);
    writer.reset();
    writeResponse(response);
    return writer.take();
  },
};

export const actStreamCodec: Codec<typeof ActStreamRequestSchema, typeof ActStreamResponseSchema> = {
  decode: (bytes) => readOr(bytes, readStreamRequest, generalStream.decode),
  encode(response) {
    const { result, supersededCount = 0 } = response;
    if (result?.case !== 'response' || !isUsual(result.value)) return generalStream.encode(response);
    writer.reset();
    writer.varint(tag(1, 2));
    writer.varint(responseSize(result.value));
    writeResponse(result.value);
    writeNumber(3, supersededCount);
    return writer.take();
  },
};

function readOr<T>(bytes: Buffer, read: (reader: WireReader) => T, otherwise: (bytes: Buffer) => T): T {
  try {
    return read(new WireReader(bytes));
  } catch (error) {
    if (error === unusual) return otherwise(bytes);
    throw error;
  }
}

function readStreamRequest(reader: WireReader): ActStreamRequest {
  const message: ActStreamRequest = {
    $typeName: 'hyperpolicy.v1.ActStreamRequest',
    follow: false,
    newestWins: false,
  };
  while (reader.at < reader.end) {
    switch (reader.varint()) {
      case tag(1, 2):
        if (message.act !== undefined) throw unusual;
        message.act = within(reader, readAct);
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

/** Reads a message inside another. */
function within<T>(reader: WireReader, read: (reader: WireReader) => T): T {
  const end = reader.fieldEnd();
  const outer = reader.end;
  reader.end = end;
  const message = read(reader);
  reader.end = outer;
  return message;
}

function readAct(reader: WireReader): ActRequest {
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
  while (reader.at < reader.end) {
    switch (reader.varint()) {
      case tag(1, 2):
        message.model = reader.text();
        break;
      case tag(2, 0):
        message.selection = { case: 'version', value: reader.uint32() };
        break;
      case tag(3, 2):
        message.selection = { case: 'label', value: reader.text() };
        break;
      case tag(4, 2):
        message.fingerprint = reader.text();
        break;
      case tag(5, 2):
        if (message.observation !== undefined) throw unusual;
        message.observation = within(reader, readTensor);
        break;
      case tag(6, 2):
        if (message.contextSource.case === 'context') throw unusual;
        message.contextSource = { case: 'context', value: within(reader, readTensor) };
        break;
      case tag(7, 2):
        message.contextSource = { case: 'contextHandle', value: reader.text() };
        break;
      case tag(8, 0):
        message.sample = reader.bool();
        break;
      case tag(9, 0):
        message.seed = BigInt(reader.varint());
        break;
      case tag(10, 0):
        message.logProb = reader.bool();
        break;
      case tag(11, 0):
        message.budgetUs = reader.uint32();
        break;
      case tag(12, 0):
        // Enumerations are signed.
        message.fallback = (reader.uint32() | 0) as Fallback;
        break;
      case tag(13, 2):
        message.clientId = reader.text();
        break;
      case tag(14, 0):
        message.sequence = BigInt(reader.varint());
        break;
      default:
        throw unusual;
    }
  }
  return message;
}

function readTensor(reader: WireReader): Tensor {
  const shape: number[] = [];
  let data: Uint8Array = noBytes;
  while (reader.at < reader.end) {
    switch (reader.varint()) {
      case tag(1, 2): {
        const end = reader.fieldEnd();
        while (reader.at < end) shape.push(reader.uint32());
        if (reader.at !== end) throw unusual;
        break;
      }
      case tag(2, 2):
        data = reader.view();
        break;
      default:
        throw unusual;
    }
  }
  return { $typeName: 'hyperpolicy.v1.Tensor', shape, data };
}

const noBytes = new Uint8Array(0);

/** Messages are written one after the other, so one buffer serves them all. */
const writer = new WireWriter();

type Response = MessageInitShape<typeof ActResponseSchema>;
type TensorInit = MessageInitShape<typeof TensorSchema>;

/** Integers over 2^53 are the general codec's, as are fallbacks. */
const isUsual = ({ fallbackTaken, version = 0, sequence = 0n, seed = 0n }: Response): boolean =>
  fallbackTaken === undefined &&
  version < 2 ** 32 &&
  Number.isSafeInteger(Number(sequence)) &&
  Number.isSafeInteger(Number(seed));

/** Numbers are left out where they are 0, as proto3 has it. */
function writeNumber(field: number, value: number): void {
  if (value === 0) return;
  writer.varint(tag(field, 0));
  writer.varint(value);
}

const numberSize = (field: number, value: number): number =>
  value === 0 ? 0 : varintSize(tag(field, 0)) + varintSize(value);

function writeResponse({ action, logProb, seed, version = 0, weightAgeMs = 0, sequence = 0n, timing }: Response): void {
  if (action !== undefined) writeTensor(1, action);
  if (logProb !== undefined) writeTensor(2, logProb);
  if (seed !== undefined) {
    writer.varint(tag(3, 0));
    writer.varint(Number(seed));
  }
  writeNumber(4, version);
  if (weightAgeMs !== 0) {
    writer.varint(tag(5, 1));
    writer.double(weightAgeMs);
  }
  writeNumber(6, Number(sequence));
  if (timing === undefined) return;
  const { totalUs = 0, primaryUs = 0, networkUs = 0, eventLoopDelayUs = 0 } = timing;
  writer.varint(tag(7, 2));
  writer.varint(timingSize(timing));
  writeNumber(1, totalUs);
  writeNumber(2, primaryUs);
  writeNumber(3, networkUs);
  writeNumber(4, eventLoopDelayUs);
}

function timingSize({ totalUs = 0, primaryUs = 0, networkUs = 0, eventLoopDelayUs = 0 }: TimingInit): number {
  return numberSize(1, totalUs) + numberSize(2, primaryUs) + numberSize(3, networkUs) + numberSize(4, eventLoopDelayUs);
}

type TimingInit = NonNullable<Response['timing']>;

function responseSize({
  action,
  logProb,
  seed,
  version = 0,
  weightAgeMs = 0,
  sequence = 0n,
  timing,
}: Response): number {
  const inside = timing === undefined ? undefined : timingSize(timing);
  return (
    (action === undefined ? 0 : delimitedSize(tensorSize(action))) +
    (logProb === undefined ? 0 : delimitedSize(tensorSize(logProb))) +
    (seed === undefined ? 0 : 1 + varintSize(Number(seed))) +
    numberSize(4, version) +
    (weightAgeMs === 0 ? 0 : 9) +
    numberSize(6, Number(sequence)) +
    (inside === undefined ? 0 : delimitedSize(inside))
  );
}

/** Of a field below 16 with so many bytes. */
const delimitedSize = (size: number): number => 1 + varintSize(size) + size;

const shapeSize = (shape: readonly number[]): number => shape.reduce((total, size) => total + varintSize(size), 0);

function tensorSize({ shape = [], data = noBytes }: TensorInit): number {
  return (
    (shape.length === 0 ? 0 : delimitedSize(shapeSize(shape))) + (data.length === 0 ? 0 : delimitedSize(data.length))
  );
}

function writeTensor(field: number, tensor: TensorInit): void {
  const { shape = [], data = noBytes } = tensor;
  writer.varint(tag(field, 2));
  writer.varint(tensorSize(tensor));
  if (shape.length > 0) {
    writer.varint(tag(1, 2));
    writer.varint(shapeSize(shape));
    for (const size of shape) writer.varint(size);
  }
  if (data.length === 0) return;
  writer.varint(tag(2, 2));
  writer.varint(data.length);
  writer.raw(data);
}
