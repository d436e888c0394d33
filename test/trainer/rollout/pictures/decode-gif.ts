/** A small GIF reader for tests: whole frames, global palette. */

export type DecodedGif = {
  readonly width: number;
  readonly height: number;
  readonly loops: boolean;
  readonly frames: readonly { readonly delayMs: number; readonly pixels: Uint8Array }[];
};

export function decodeGif(bytes: Uint8Array): DecodedGif {
  const file = Buffer.from(bytes);
  if (file.subarray(0, 6).toString() !== 'GIF89a') throw new Error('not a GIF89a');
  const [width, height] = [file.readUInt16LE(6), file.readUInt16LE(8)];
  const palette = file.subarray(13, 13 + 3 * 2 ** ((file[10]! & 7) + 1));
  let at = 13 + palette.length;
  const subBlocks = (): Buffer => {
    const parts: Buffer[] = [];
    for (let size = file[at++]!; size > 0; size = file[at++]!) {
      parts.push(file.subarray(at, at + size));
      at += size;
    }
    return Buffer.concat(parts);
  };
  const frames: { delayMs: number; pixels: Uint8Array }[] = [];
  let loops = false;
  let delayMs = 0;
  for (;;) {
    const kind = file[at++];
    if (kind === 0x3b) break;
    if (kind === 0x21) {
      const label = file[at++];
      const data = subBlocks();
      if (label === 0xf9) delayMs = data.readUInt16LE(1) * 10;
      if (label === 0xff) loops = data.subarray(0, 11).toString() === 'NETSCAPE2.0';
    } else if (kind === 0x2c) {
      at += 9;
      const codeSize = file[at++]!;
      const indices = decompress(subBlocks(), codeSize);
      if (indices.length !== width * height)
        throw new Error(`expected ${width * height} pixels, got ${indices.length}`);
      frames.push({
        delayMs,
        pixels: Uint8Array.from(indices.flatMap((index) => [...palette.subarray(index * 3, index * 3 + 3)])),
      });
    } else throw new Error(`unknown block ${kind} at ${at - 1}`);
  }
  return { width, height, loops, frames };
}

/** LZW, as a viewer reads it: the table is full at 4096 codes of 12 bits. */
function decompress(data: Uint8Array, codeSize: number): number[] {
  const clear = 1 << codeSize;
  const out: number[] = [];
  let table: number[][] = [];
  let width = codeSize + 1;
  let previous: number[] | undefined;
  let [buffer, bits] = [0, 0];
  for (const byte of data) {
    buffer |= byte << bits;
    for (bits += 8; bits >= width; ) {
      const code = buffer & ((1 << width) - 1);
      buffer >>>= width;
      bits -= width;
      if (code === clear + 1) return out;
      if (code === clear) {
        table = Array.from({ length: clear + 2 }, (_, i) => [i]);
        width = codeSize + 1;
        previous = undefined;
        continue;
      }
      const entry = table[code] ?? (previous === undefined ? undefined : [...previous, previous[0]!]);
      if (entry === undefined) throw new Error(`code ${code} before the table has it`);
      out.push(...entry);
      if (previous !== undefined && table.length < 4096) table.push([...previous, entry[0]!]);
      if (table.length === 1 << width && width < 12) width++;
      previous = entry;
    }
  }
  throw new Error('no end code');
}
