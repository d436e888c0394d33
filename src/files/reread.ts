/** The parsed content of some files, read again when they change. Files that cannot be read or parsed change nothing. */

import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { invalidArgument } from '../contract/errors.ts';

export type Reread<T> = {
  readonly current: T;
  /** Checks the files. @returns whether `current` is new */
  refresh(): boolean;
};

export type OnRead = (result: 'loaded' | 'refused') => void;

export type RereadOptions<T> = {
  /** Names the files in errors and in log lines. */
  readonly where: string;
  readonly name: string;
  /** @throws Error if the files are damaged or do not belong together */
  readonly parse: (contents: readonly Buffer[]) => T;
  /** Fields for the log. */
  readonly describe: (value: T) => object;
  readonly log: Logger;
  /** Called when the files have changed. */
  readonly onRead?: OnRead | undefined;
};

/** @throws HyperpolicyError invalid_argument if a file cannot be read; as `parse` */
export function readAndWatch<T>(files: readonly string[], options: RereadOptions<T>): Reread<T> {
  const { where, name, parse, describe, log, onRead } = options;
  let seen = files.map((file) => {
    try {
      return readFileSync(file);
    } catch (cause) {
      throw invalidArgument({ where, expected: 'a file that can be read', actual: file, cause });
    }
  });
  let current = parse(seen);
  let isUnreadable = false;
  return {
    get current() {
      return current;
    },
    refresh() {
      try {
        const found = files.map((file) => readFileSync(file));
        isUnreadable = false;
        if (found.every((bytes, i) => bytes.equals(seen[i]!))) return false;
        seen = found;
      } catch (error) {
        // A file may be missing for a moment while it is replaced. Logged once, not at every check.
        const reason = (error as NodeJS.ErrnoException).code;
        if (!isUnreadable) log.warn({ reason }, `${name} unreadable; the former ones hold`);
        isUnreadable = true;
        return false;
      }
      try {
        current = parse(seen);
      } catch (error) {
        log.error({ reason: (error as Error).message }, `${name} refused; the former ones hold`);
        onRead?.('refused');
        return false;
      }
      log.info(describe(current), `${name} read again`);
      onRead?.('loaded');
      return true;
    },
  };
}
