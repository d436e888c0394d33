/**
 * Reading and writing protobuf's wire format without descriptors, for the few messages of which thousands come in a second. Whoever
 * reads with it hands over to the general codec what it does not know: `unusual` is thrown for that.
 */

/** Thrown where bytes are not as this reader expects them; they may still be a valid message. */
export const unusual = Symbol('unusual');

const two32 = 2 ** 32;

/** A place in a message. Not a class with its own bounds: `end` is the enclosing message's. */
export class WireReader {
  readonly bytes: Buffer;
  at: number;
  end: number;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.at = 0;
    this.end = bytes.length;
  }

  /** An integer in [0, 2^53). */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 8; count++) {
      if (this.at >= this.end) throw unusual;
      const byte = this.bytes[this.at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (value > Number.MAX_SAFE_INTEGER) throw unusual;
        return value;
      }
      scale *= 128;
    }
    throw unusual;
  }

  uint32(): number {
    const value = this.varint();
    if (value >= two32) throw unusual;
    return value;
  }

  bool(): boolean {
    return this.varint() !== 0;
  }

  /** Where the bytes of a length-delimited field end. */
  fieldEnd(): number {
    const end = this.varint() + this.at;
    if (end > this.end) throw unusual;
    return end;
  }

  /** Text in ASCII; other text is for the general codec, which checks it. */
  text(): string {
    const end = this.fieldEnd();
    const start = this.at;
    for (let i = start; i < end; i++) if (this.bytes[i]! > 127) throw unusual;
    this.at = end;
    return this.bytes.toString('latin1', start, end);
  }

  /** The bytes of a field, not copied. */
  view(): Uint8Array {
    const end = this.fieldEnd();
    const view = new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + this.at, end - this.at);
    this.at = end;
    return view;
  }
}

/** Grows a message in one buffer that is used again and again; `take` copies it out. */
export class WireWriter {
  #bytes = Buffer.allocUnsafe(1024);
  #at = 0;

  get length(): number {
    return this.#at;
  }

  /** Begins a new message. */
  reset(): void {
    this.#at = 0;
  }

  #need(count: number): void {
    if (this.#at + count <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#at + count));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }

  /** @param value an integer in [0, 2^53) */
  varint(value: number): void {
    this.#need(8);
    while (value > 127) {
      this.#bytes[this.#at++] = (value % 128) + 128;
      value = Math.floor(value / 128);
    }
    this.#bytes[this.#at++] = value;
  }

  double(value: number): void {
    this.#need(8);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  raw(bytes: Uint8Array): void {
    this.#need(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** A copy of what was written, the caller's own. */
  take(): Buffer {
    const taken = Buffer.allocUnsafe(this.#at);
    this.#bytes.copy(taken, 0, 0, this.#at);
    return taken;
  }
}

/** Bytes that a varint takes. */
export function varintSize(value: number): number {
  let size = 1;
  for (let left = value; left > 127; left = Math.floor(left / 128)) size++;
  return size;
}
