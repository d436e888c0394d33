/**
 * Event files of TensorBoard, scalars alone. A file is a list of records: length (uint64), its checksum, an `Event` message, its
 * checksum, little-endian. A checksum is a CRC-32C, rotated and shifted, so that a checksum of checksums is none.
 *
 * Sources: TensorFlow's tensorflow/core/lib/io/record_writer.h and tensorboard/compat/proto/event.proto.
 */

import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { makeFolder } from '../../src/files/folders.ts';

export type Scalar = { readonly tag: string; readonly value: number };

export type EventFile = {
  /**
   * Appends one event, unless it has no scalar; it is in the file once this returns.
   * @throws what the file system throws; the file ends with a whole record then, too
   */
  write(step: number, wallTimeS: number, scalars: readonly Scalar[]): void;
  flush(): void;
  close(): void;
};

/**
 * Begins a new file beside those that are there; TensorBoard reads them in order of their names.
 * @param options.resumedStep of a run that goes on: what earlier files have of later steps does not count
 */
export function openEventFile(
  directory: string,
  { wallTimeS, resumedStep }: { readonly wallTimeS: number; readonly resumedStep?: number | undefined },
): EventFile {
  makeFolder(directory);
  const number = String(readdirSync(directory).length).padStart(4, '0');
  const path = join(directory, `events.out.tfevents.${Math.floor(wallTimeS)}.${number}.${hostname()}`);
  const file = openSync(path, 'ax');
  const append = (event: Uint8Array) => {
    const whole = fstatSync(file).size;
    try {
      writeFileSync(file, recordOf(event));
    } catch (error) {
      ftruncateSync(file, whole);
      throw error;
    }
  };
  const head = () => new BinaryWriter().tag(eventFields.wallTime, WireType.Bit64).double(wallTimeS);
  append(head().tag(eventFields.fileVersion, WireType.LengthDelimited).string('brain.Event:2').finish());
  if (resumedStep !== undefined) {
    const event = head()
      .tag(eventFields.step, WireType.Varint)
      .int64(resumedStep + 1);
    event.tag(eventFields.sessionLog, WireType.LengthDelimited).fork();
    append(event.tag(1, WireType.Varint).int32(sessionStart).join().finish());
  }
  return {
    write(step, timeS, scalars) {
      if (scalars.length > 0) append(scalarEvent(step, timeS, scalars));
    },
    flush: () => fsyncSync(file),
    close: () => closeSync(file),
  };
}

/** Numbers of the fields of `Event`. */
const eventFields = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 };
/** `SessionLog.START`. */
const sessionStart = 1;

function scalarEvent(step: number, wallTimeS: number, scalars: readonly Scalar[]): Uint8Array {
  const event = new BinaryWriter().tag(eventFields.wallTime, WireType.Bit64).double(wallTimeS);
  event.tag(eventFields.step, WireType.Varint).int64(step);
  event.tag(eventFields.summary, WireType.LengthDelimited).fork();
  for (const { tag, value } of scalars) {
    event.tag(1, WireType.LengthDelimited).fork();
    event.tag(1, WireType.LengthDelimited).string(tag);
    event.tag(2, WireType.Bit32).float(value).join();
  }
  return event.join().finish();
}

function recordOf(event: Uint8Array): Uint8Array {
  const record = Buffer.alloc(event.length + 16);
  record.writeBigUInt64LE(BigInt(event.length), 0);
  record.writeUInt32LE(maskedCrc(record.subarray(0, 8)), 8);
  record.set(event, 12);
  record.writeUInt32LE(maskedCrc(event), event.length + 12);
  return record;
}

function maskedCrc(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Castagnoli's polynomial, bits reversed. */
const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

/** CRC-32C. Source: RFC 3720, appendix B.4. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = crcTable[(crc ^ byte) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
