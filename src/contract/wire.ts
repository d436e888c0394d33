/**
 * Fields of messages, written out: what act-request.ts and act-response.ts share. A message that is unusual (a field twice, an unknown one)
 * throws, and goes to the general codec.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import type { Tensor, TensorSchema } from '../gen/hyperpolicy/v1/tensor_pb.ts';
import { WireWriter } from './wire-writer.ts';

/** The tag before a field: its number and its wire type, which is 0 for varint, 1 for eight bytes, 2 for length-delimited. */
export const tag = (field: number, wireType: 0 | 1 | 2): number => field * 8 + wireType;

/** Reads a message up to `end`. Throws if it is unusual or broken. */
export type Read<T> = (reader: BinaryReader, end: number) => T;

export const unusual = new Error('for the general codec');

/** Reads a message; one that is unusual or broken goes to the general codec. */
export function readOr<T>(bytes: Uint8Array, read: Read<T>, general: (bytes: Uint8Array) => T): T {
  try {
    // Pieces of a Buffer are Buffers, which take longer to create.
    return read(new BinaryReader(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)), bytes.length);
  } catch {
    return general(bytes);
  }
}

/** Reads a message inside another. */
export function inside<T>(reader: BinaryReader, read: Read<T>): T {
  const end = reader.uint32() + reader.pos;
  const message = read(reader, end);
  if (reader.pos !== end) throw unusual;
  return message;
}

export function nextTag(reader: BinaryReader): number {
  const [field, wireType] = reader.tag();
  return field * 8 + wireType;
}

export const readTensor: Read<Tensor> = (reader, end) => {
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

/** Numbers are left out where they are 0, as proto3 has it. */
export function writeNumber(writer: WireWriter, field: number, value = 0): void {
  if (value !== 0) writer.uint32(tag(field, 0)).uint32(value);
}

export function writeText(writer: WireWriter, field: number, value = ''): void {
  if (value !== '') writer.uint32(tag(field, 2)).string(value);
}

export function writeFlag(writer: WireWriter, field: number, value = false): void {
  if (value) writer.uint32(tag(field, 0)).bool(true);
}

export function writeTensor(
  writer: WireWriter,
  field: number,
  { shape = [], data = noBytes }: MessageInitShape<typeof TensorSchema>,
): void {
  writer.uint32(tag(field, 2)).fork();
  if (shape.length > 0) {
    writer.uint32(tag(1, 2)).fork();
    for (const size of shape) writer.uint32(size);
    writer.join();
  }
  if (data.length > 0) writer.uint32(tag(2, 2)).bytes(data);
  writer.join();
}

/** One writer for all messages: its memory is kept. */
const shared = new WireWriter();

/** The bytes that `write` writes, in memory of Node's pool. */
export function written(write: (writer: WireWriter) => void): Uint8Array<ArrayBuffer> {
  const writer = shared;
  try {
    write(writer);
  } catch (error) {
    // The writer must be empty for the next message.
    writer.finish();
    throw error;
  }
  return writer.finish();
}
