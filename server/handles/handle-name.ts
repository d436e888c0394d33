/** Names of context handles: random but for a mark of the server that made them, so that another server can say whose they are. */

import { createHash, randomBytes } from 'node:crypto';

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 4);

/** Of one start of a server. Processes that share a spool have the same. */
export const serverMark = (spoolDirectory: string): string => digest(spoolDirectory);

/** 96 random bits, the 16 of the server, and 16 that tell a handle from any other text, as hexadecimal digits. */
export function newHandle(mark: string): string {
  const marked = randomBytes(12).toString('hex') + mark;
  return marked + digest(marked);
}

/** Whether another server made it, or this one before it was started. */
export function isOfOtherServer(handle: string, mark: string): boolean {
  const marked = handle.slice(0, 28);
  return marked.slice(24) !== mark && handle === marked + digest(marked);
}
