/** What the device check says: one JSON line for each thing that it looked at, written before anything else happens. */

import { appendFileSync, writeFileSync } from 'node:fs';
import { createLineWriter } from '../../../src/files/line-writer.ts';
import { standing, type Target } from '../measure.ts';

export type Fields = Readonly<Record<string, unknown>>;

export type Lines = {
  /** Something that must hold. */
  check(name: string, isOk: boolean, fields?: Fields): void;
  /** A figure, with how it stands to its target where it has one. A target that is missed does not fail the check. */
  figure(name: string, value: number, fields?: Fields & { readonly target?: Target | undefined }): void;
  /** Something that others may want to know. */
  note(name: string, fields: Fields): void;
  readonly failedCount: number;
};

/** @param file that gets the lines too */
export function createLines(file: string | undefined): Lines {
  if (file !== undefined) writeFileSync(file, '');
  const output = createLineWriter(1, (error) => console.error(`check: a line was not written: ${error.message}`));
  let failedCount = 0;
  const write = (fields: Fields) => {
    const line = `${JSON.stringify(fields, rounded)}\n`;
    output.write(line);
    if (file !== undefined) appendFileSync(file, line);
  };
  return {
    check(name, ok, fields = {}) {
      if (!ok) failedCount += 1;
      write({ check: name, ok, ...fields });
    },
    figure(name, value, { target, ...fields } = {}) {
      const against = target === undefined ? {} : { target: standing(value, target) };
      write({ figure: name, value, ...against, ...fields });
    },
    note: (name, fields) => write({ note: name, ...fields }),
    get failedCount() {
      return failedCount;
    },
  };
}

/** Five digits of what is no whole number. */
const rounded = (_name: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
