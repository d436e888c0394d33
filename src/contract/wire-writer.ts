/**
 * Writes messages of protobuf into one array that is kept. The general writer collects pieces, which for a small message takes longer than all
 * other work on it. Values are appended; a length is put before its content when it is known.
 */

const text = new TextEncoder();

export class WireWriter {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #size = 0;
  /** Where the messages begin that are being written, outermost first. */
  readonly #begun: number[] = [];

  /** @param value in [0, 2^32) @throws RangeError: another, with which nothing is left of what was written */
  uint32(value: number): this {
    if (!(value >= 0 && value <= 0xffffffff)) this.#refuse(value);
    if (value < 0x80) {
      this.#reserve(1);
      this.#bytes[this.#size++] = value;
    } else this.#varint(value);
    return this;
  }

  /** @param value in [0, 2^64) */
  uint64(value: bigint): this {
    if (value < 0n) this.#refuse(value);
    let rest = value;
    for (; rest > exactMax; rest >>= 7n) {
      this.#reserve(1);
      this.#bytes[this.#size++] = Number(rest & 0x7fn) | 0x80;
    }
    this.#varint(Number(rest));
    return this;
  }

  bool(value: boolean): this {
    return this.uint32(value ? 1 : 0);
  }

  double(value: number): this {
    this.#reserve(8);
    this.#view.setFloat64(this.#size, value, true);
    this.#size += 8;
    return this;
  }

  string(value: string): this {
    return this.bytes(text.encode(value));
  }

  bytes(value: Uint8Array): this {
    this.uint32(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#size);
    this.#size += value.length;
    return this;
  }

  /** Begins a message inside another, after its tag. */
  fork(): this {
    this.#begun.push(this.#size);
    return this;
  }

  /** Ends it. */
  join(): this {
    const begin = this.#begun.pop()!;
    const length = this.#size - begin;
    const lengthSize = varintSize(length);
    this.#reserve(lengthSize);
    this.#bytes.copyWithin(begin + lengthSize, begin, this.#size);
    this.#size = begin;
    this.#put(length);
    this.#size += length;
    return this;
  }

  /** What was written, in memory of Node's pool, and the writer empty again. */
  finish(): Uint8Array<ArrayBuffer> {
    const { buffer, byteOffset } = Buffer.allocUnsafe(this.#size);
    const written = new Uint8Array(buffer as ArrayBuffer, byteOffset, this.#size);
    written.set(this.#bytes.subarray(0, this.#size));
    this.#size = 0;
    // Setting a length is slow, and it is 0 unless a value was refused.
    if (this.#begun.length > 0) this.#begun.length = 0;
    // One large message is not paid for ever after.
    if (this.#bytes.length > keptBytesMax) this.#resize(keptBytesMax);
    return written;
  }

  /** The writer is used again. */
  #refuse(value: number | bigint): never {
    this.#size = 0;
    this.#begun.length = 0;
    throw new RangeError(`WireWriter: expected an unsigned integer of its size, got ${value}`);
  }

  #varint(value: number): void {
    this.#reserve(8);
    this.#put(value);
  }

  /** @param value whose bytes there is room for */
  #put(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#bytes[this.#size++] = (rest % 0x80) | 0x80;
    this.#bytes[this.#size++] = rest;
  }

  #reserve(count: number): void {
    const needed = this.#size + count;
    if (needed > this.#bytes.length) this.#resize(Math.max(needed, 2 * this.#bytes.length));
  }

  #resize(size: number): void {
    const bytes = new Uint8Array(size);
    bytes.set(this.#bytes.subarray(0, this.#size));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

const keptBytesMax = 2 ** 20;

/** Numbers are exact up to here, and sequences seldom higher. */
const exactMax = BigInt(Number.MAX_SAFE_INTEGER);

/** @param value at least 0 */
function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}
