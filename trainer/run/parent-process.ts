/** What a training tells the process that began it, a sweep, over Node's channel between them. */

/** The training was interrupted: it ended well, with a checkpoint, but it is not finished. */
const interrupted = 'interrupted';

/** Does nothing where no process listens, or it is gone. */
export const tellInterrupted = (): void => {
  process.send?.(interrupted, undefined, undefined, () => {});
};

export const saysInterrupted = (message: unknown): boolean => message === interrupted;
