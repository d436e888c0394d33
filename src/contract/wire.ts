/**
 * Messages of acting, by hand: pieces that the codecs of server and client share. What is unusual (a field twice, an unknown one) throws, and
 * goes to the general codec.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import type { Tensor, TensorSchema } from '../gen/hyperpolicy/v1/tensor_pb.ts';

/** The tag before a field: its number and its wire type, which is 0 for varint, 1 for eight bytes, 2 for length-delimited. */
export const tag = (field: number, wireType: 0 | 1 | 2): number => field * 8 + wireType;

/** Reads a message up to `end`. Throws if it is unusual or broken. */
export type Read<T> = (reader: BinaryReader, end: number) => T;

export const unusual = new Error('for the general codec');

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
export function writeNumber(writer: BinaryWriter, field: number, value = 0): void {
  if (value !== 0) writer.uint32(tag(field, 0)).uint32(value);
}

export function writeTensor(
  writer: BinaryWriter,
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

/** What was written, and the writer empty again, also where writing throws. */
export function finished(writer: BinaryWriter, write: () => void): Uint8Array {
  try {
    write();
  } catch (error) {
    writer.finish();
    throw error;
  }
  return writer.finish();
}
