/** Opens the handle store of one process, with its own spool or with one that several processes share. */

import type { Logger } from 'pino';
import { createSpoolDirectory, Spool } from '../../src/files/spool.ts';
import type { ServerConfig } from '../config.ts';
import { HandleStore } from './handle-store.ts';

/** A spool that the processes of one server share. Their parent creates the directory, and removes it when all have stopped. */
export type SharedSpool = {
  readonly directory: string;
  readonly processCount: number;
  /** As `clockOffset` returned it, the same for all processes, so that a use has the same age in each. */
  readonly clockOffsetMs: number;
};

/**
 * The time of day now, less the time since the machine's boot, milliseconds. Ages of handles are measured since the boot, which is the same
 * in every process and never jumps. This offset turns such a time into that of a file.
 */
export const clockOffset = (): number => Date.now() - sinceBootMs();

const sinceBootMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** The part of one process, numbered from 1. The name of a file tells whose it is, so a replaced process finds its files again. */
export type SpoolPart = SharedSpool & { readonly process: number };

export type OpenHandles = {
  readonly store: HandleStore;
  /** Removes the directory if it is this process's own. */
  close(): void;
};

/** @throws HyperpolicyError failed_precondition: the directory cannot be created */
export async function openHandles(config: ServerConfig, shared?: SpoolPart, log?: Logger): Promise<OpenHandles> {
  const own = shared === undefined ? await createSpoolDirectory(config.handleDirectory, 'handles') : undefined;
  const part = shared ?? { directory: own!.path, processCount: 1, process: 1, clockOffsetMs: clockOffset() };
  const { directory, processCount, clockOffsetMs } = part;
  const store = new HandleStore({
    spool: new Spool({ directory }),
    isOwn: ownedBy(part),
    timeToLiveMs: config.handleTimeToLiveMs,
    countMax: Math.max(1, Math.floor(config.handleCountMax / processCount)),
    bytesMax: Math.floor(config.handleSpoolBytesMax / processCount),
    cacheBytesMax: config.handleCacheBytesMax,
    clock: () => clockOffsetMs + sinceBootMs(),
    onFault: (error) => log?.error({ err: error }, 'sweeping context handles failed'),
  });
  return {
    store,
    close() {
      store.close();
      own?.remove();
    },
  };
}

const ownedBy =
  ({ process: number, processCount }: SpoolPart) =>
  (name: string): boolean =>
    Number.parseInt(name.slice(0, 8), 16) % processCount === number - 1;
