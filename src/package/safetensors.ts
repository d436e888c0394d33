/**
 * The safetensors file format: an 8-byte little-endian header length, a JSON header, and the tensors' bytes. Reads floating
 * types into float32; writes float32. Knows nothing of what tensors mean.
 *
 * Source: https://github.com/huggingface/safetensors, "Format".
 */

import { z } from 'zod';
import { sizeOf } from '../contract/counts.ts';
import { invalidArgument } from '../contract/errors.ts';

type StoredTensor = { readonly shape: readonly number[]; readonly data: Float32Array };

export type SafetensorsFile = {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Free text by key. */
  readonly metadata: Readonly<Record<string, string>>;
};

/** As in the reference implementation. */
const headerBytesMax = 100_000_000;
const lengthBytes = 8;
const metadataKey = '__metadata__';

const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(z.number().int().nonnegative()),
  data_offsets: z.tuple([z.number().int().nonnegative(), z.number().int().nonnegative()]),
});

type Entry = z.infer<typeof entrySchema> & { readonly name: string };

/** Bytes of one value, and its float32 at a byte offset. */
type Decoder = { readonly bytes: number; readonly read: (view: DataView, at: number) => number };

const decoders: Readonly<Record<string, Decoder>> = {
  F64: { bytes: 8, read: (view, at) => view.getFloat64(at, true) },
  F32: { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  F16: { bytes: 2, read: (view, at) => halfToFloat(view.getUint16(at, true)) },
  BF16: { bytes: 2, read: (view, at) => bfloatToFloat(view.getUint16(at, true)) },
};

/**
 * Reads a file. Values are copied.
 * @param where names the file in errors
 * @throws HyperpolicyError invalid_argument: a truncated or malformed file, offsets that overlap, leave gaps or do not fit the
 *   shapes, a type that is not floating
 */
export function readSafetensors(file: Uint8Array, where = 'safetensors'): SafetensorsFile {
  const refuse = (expected: string, actual: string) =>
    invalidArgument({ where, expected, actual, remedy: 'Save it again with save_file of safetensors' });
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.byteLength < lengthBytes) throw refuse(`at least ${lengthBytes} bytes`, `${file.byteLength}`);
  const headerBytes = Number(view.getBigUint64(0, true));
  if (headerBytes > Math.min(headerBytesMax, file.byteLength - lengthBytes)) {
    throw refuse(`a header within the file's ${file.byteLength} bytes`, `one of ${headerBytes}`);
  }
  const start = lengthBytes + headerBytes;
  const { entries, metadata } = parseHeader(file.subarray(lengthBytes, start), refuse);
  checkOffsets(entries, file.byteLength - start, refuse);
  const tensors = entries.map(({ name, dtype, shape, data_offsets: [begin] }): [string, StoredTensor] => {
    const { bytes, read } = decoders[dtype]!;
    const data = new Float32Array(sizeOf(shape));
    for (let i = 0; i < data.length; i++) data[i] = read(view, start + begin + i * bytes);
    return [name, { shape, data }];
  });
  return { tensors: new Map(tensors), metadata };
}

/** A file of float32 tensors, in the order of the map. The header is padded so that values begin at a multiple of 8 bytes. */
export function writeSafetensors({ tensors, metadata }: SafetensorsFile): Uint8Array {
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header[metadataKey] = metadata;
  let offset = 0;
  for (const [name, { shape, data }] of tensors) {
    const size = sizeOf(shape);
    if (size !== data.length || name === metadataKey) {
      throw invalidArgument({
        where: `safetensors tensor "${name}"`,
        expected: `${size} values, as [${shape.join(', ')}], and a name other than ${metadataKey}`,
        actual: `${data.length} values`,
      });
    }
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const headerBytes = Math.ceil(text.length / 8) * 8;
  const file = new Uint8Array(lengthBytes + headerBytes + offset);
  const view = new DataView(file.buffer);
  view.setBigUint64(0, BigInt(headerBytes), true);
  file.fill(0x20, lengthBytes + text.length, lengthBytes + headerBytes);
  file.set(text, lengthBytes);
  let at = lengthBytes + headerBytes;
  for (const { data } of tensors.values()) {
    for (let i = 0; i < data.length; i++, at += 4) view.setFloat32(at, data[i]!, true);
  }
  return file;
}

type Refuse = (expected: string, actual: string) => Error;

function parseHeader(bytes: Uint8Array, refuse: Refuse) {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw refuse('a header of JSON', (cause as Error).message);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw refuse('a JSON object', typeof json);
  const { [metadataKey]: metadata = {}, ...rest } = json as Record<string, unknown>;
  const texts = z.record(z.string(), z.string()).safeParse(metadata);
  if (!texts.success) throw refuse(`texts in ${metadataKey}`, texts.error.issues[0]!.message);
  const entries = Object.entries(rest).map(([name, value]): Entry => {
    const parsed = entrySchema.safeParse(value);
    if (!parsed.success) {
      throw refuse(`dtype, shape and data_offsets of tensor "${name}"`, parsed.error.issues[0]!.message);
    }
    if (!Object.hasOwn(decoders, parsed.data.dtype)) {
      throw refuse(`tensor "${name}" of ${Object.keys(decoders).join(', ')}`, parsed.data.dtype);
    }
    return { name, ...parsed.data };
  });
  return { entries, metadata: texts.data };
}

/** Tensors lie one after the other, without gaps or overlaps, up to the end of the file. */
function checkOffsets(entries: readonly Entry[], byteCount: number, refuse: Refuse): void {
  const ordered = [...entries].sort(
    (a, b) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1],
  );
  let end = 0;
  for (const { name, dtype, shape, data_offsets } of ordered) {
    const size = sizeOf(shape) * decoders[dtype]!.bytes;
    if (data_offsets[0] !== end || data_offsets[1] !== end + size) {
      throw refuse(
        `tensor "${name}" of ${dtype} [${shape.join(', ')}] at bytes ${end} to ${end + size}`,
        `${data_offsets[0]} to ${data_offsets[1]}`,
      );
    }
    end += size;
  }
  if (end !== byteCount) throw refuse(`${end} bytes of tensors, as the header says`, `${byteCount}`);
}

/** IEEE half: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const bits32 = new Uint32Array(1);
const float32 = new Float32Array(bits32.buffer);

/** The upper half of a float32. */
function bfloatToFloat(bits: number): number {
  bits32[0] = bits << 16;
  return float32[0]!;
}
