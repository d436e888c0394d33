/** Ctrl-C, SIGTERM, a closed terminal and the end of the sweep that began a training, for commands that have something to keep. */

import { endProcess } from '../../src/contract/process-end.ts';

const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * The same signal within this time is the first one again: a terminal gives Ctrl-C to npm and to the command that npm runs, and npm hands
 * its own on.
 */
const handedOnMs = 500;

export type InterruptOptions = {
  /** Shows a line to the person. */
  readonly tell: (line: string) => void;
  /** What a second interrupt leaves, as a sentence. */
  readonly kept: () => string;
  /** Milliseconds; only differences matter. */
  readonly now?: () => number;
};

/** Runs with a signal that the first interrupt aborts; the second ends the process as usual. */
export async function untilInterrupted<T>(
  run: (signal: AbortSignal) => Promise<T>,
  { tell, kept, now = () => performance.now() }: InterruptOptions,
): Promise<T> {
  const controller = new AbortController();
  let first: { readonly name: NodeJS.Signals; readonly at: number } | undefined;
  const release = () => {
    for (const name of names) process.off(name, interrupt);
    process.off('disconnect', abandon);
  };
  function interrupt(name: NodeJS.Signals): void {
    if (!controller.signal.aborted) {
      first = { name, at: now() };
      tell(
        `${name}: ends after the step or iteration in progress, with a checkpoint. A second one ends at once, without`,
      );
      controller.abort();
      return;
    }
    if (first?.name === name && now() - first.at < handedOnMs) return;
    tell(`${name} again: ended at once. ${kept()}`);
    release();
    endProcess(name);
  }
  function abandon(): void {
    tell('The process that began this one is gone: ends after the step or iteration in progress, with a checkpoint');
    controller.abort();
  }
  for (const name of names) process.on(name, interrupt);
  process.on('disconnect', abandon);
  // It may have gone before anybody listened. Undefined where nobody can go.
  if ((process.connected as boolean | undefined) === false) abandon();
  // Listening must not keep a process alive that is done.
  process.channel?.unref();
  try {
    return await run(controller.signal);
  } finally {
    release();
  }
}
