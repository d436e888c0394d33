/** The error for an address that cannot be listened on. */

import { failedPrecondition, type HyperpolicyError } from '../src/spec/errors.ts';

/** @param setting the setting that names the port, for the remedy */
export function portInUse(setting: string, address: string, cause: Error): HyperpolicyError {
  const reason = /EADDRINUSE/.test(cause.message)
    ? 'one that is in use'
    : /EACCES/.test(cause.message)
      ? 'one that needs more rights'
      : /EADDRNOTAVAIL|ENOTFOUND|EAI_AGAIN/.test(cause.message)
        ? 'an address that this machine does not have'
        : cause.message;
  return failedPrecondition({
    where: `listening on ${address}`,
    expected: 'a free port',
    actual: reason,
    remedy: `Choose another ${setting}: --${setting.replaceAll(' ', '-')} N, or 0 for any that is free`,
    cause,
  });
}
