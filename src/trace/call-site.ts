/** Where a traced function called tfjs, for errors. */

import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** tfjs puts some twenty frames between an operation and its kernel. */
const frameCountMax = 100;
const here = dirname(fileURLToPath(import.meta.url));

/** `file:line:column` of the innermost caller that is neither tfjs nor this folder; `an unknown place` if there is none. */
export function callSite(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = frameCountMax;
  const frames = (new Error().stack ?? '').split('\n').slice(1);
  Error.stackTraceLimit = limit;
  const places = frames.map((frame) => /\(?((?:file:\/\/)?[^()\s]+:\d+:\d+)\)?$/.exec(frame)?.[1] ?? '');
  const caller = places.find((place) => place !== '' && !/node_modules|^node:/.test(place) && !place.includes(here));
  return caller?.replace('file://', '') ?? 'an unknown place';
}
