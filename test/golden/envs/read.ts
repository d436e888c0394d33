/** Reads the recordings of the reference environments that generate.py wrote. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

export type Moments = {
  readonly mean: number;
  readonly deviation: number;
  /** 3 for a normal distribution, 1.8 for a uniform one. */
  readonly kurtosis: number;
  readonly lowest: number;
  readonly highest: number;
};

export type Recording = {
  readonly environment: string;
  readonly seed: number;
  readonly episodeStepCountMax: number;
  readonly rowCount: number;
  /** Rows that start an episode. */
  readonly episodeStarts: readonly number[];
  readonly versions: Readonly<Record<string, string>>;
  /** Of the noise that a reset adds to positions and velocities, pooled over coordinates. Null where it adds none. */
  readonly resets: { readonly position: Moments; readonly velocity: Moments } | null;
  /** Fields of the compiled model, flat; `opt.` and `stat.` fields with their prefix. Null where another recording has them. */
  readonly model: Readonly<Record<string, readonly number[]>> | null;
  readonly columnNames: readonly string[];
  /** The values of a column in a row. */
  at(row: number, column: string): Float64Array;
};

type Header = Omit<Recording, 'at' | 'columnNames'> & { readonly columns: readonly (readonly [string, number])[] };

/** Reads `<name>.json` and `<name>.f64.gz` of a folder, this one unless given. */
export function readRecording(name: string, folder = import.meta.dirname): Recording {
  const header = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as Header;
  const bytes = gunzipSync(readFileSync(join(folder, `${name}.f64.gz`)));
  const values = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const offsets = new Map<string, readonly [number, number]>();
  let width = 0;
  for (const [column, size] of header.columns) {
    offsets.set(column, [width, size]);
    width += size;
  }
  return {
    ...header,
    columnNames: [...offsets.keys()],
    at(row, column) {
      const place = offsets.get(column);
      if (place === undefined) throw new Error(`${name}: no column ${column}`);
      const [offset, size] = place;
      return values.subarray(row * width + offset, row * width + offset + size);
    },
  };
}
