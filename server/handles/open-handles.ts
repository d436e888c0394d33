/** The handle store of one process, over a spool of its own or one that its parent made for several. */

import type { Logger } from 'pino';
import type { ServerConfig } from '../config.ts';
import { createSpoolDirectory, removeSpoolDirectory, Spool } from './handle-spool.ts';
import { HandleStore } from './handle-store.ts';

/** A spool that processes of one server share. Whoever made the directory removes it, after the last of them has stopped. */
export type SharedSpool = {
  /** Made by `createSpoolDirectory`. */
  readonly directory: string;
  /** Each process has its part of the bounds. */
  readonly processCount: number;
};

/** Of one process, by its number from 1. Whose a file is follows from its name, so that who takes the place of a process finds them. */
export type SpoolPart = SharedSpool & { readonly process: number };

export type OpenHandles = {
  readonly store: HandleStore;
  /** Removes the directory where it is this process's own. */
  close(): void;
};

/** @throws Error as the file system's where the directory cannot be made */
export function openHandles(config: ServerConfig, shared?: SpoolPart, log?: Logger): OpenHandles {
  const directory = shared?.directory ?? createSpoolDirectory(config.handleDirectory);
  const processCount = shared?.processCount ?? 1;
  const store = new HandleStore({
    spool: new Spool({ directory }),
    isOwn: shared === undefined ? () => true : ownedBy(shared),
    timeToLiveMs: config.handleTimeToLiveMs,
    countMax: Math.max(1, Math.floor(config.handleCountMax / processCount)),
    bytesMax: Math.floor(config.handleSpoolBytesMax / processCount),
    cacheBytesMax: config.handleCacheBytesMax,
    onFault: (error) => log?.error({ err: error }, 'sweeping context handles failed'),
  });
  return {
    store,
    close() {
      store.close();
      if (shared === undefined) removeSpoolDirectory(directory);
    },
  };
}

const ownedBy =
  ({ process: number, processCount }: SpoolPart) =>
  (name: string): boolean =>
    Number.parseInt(name.slice(0, 8), 16) % processCount === number - 1;
