/** Whether a device runs a small graph at all. The first process that opens one reads the provider and its libraries, too: seconds, or minutes. */

import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Device } from '../../../src/onnx/providers.ts';
import { objectOf, runToEnd } from '../serve-processes.ts';
import type { Section } from './section.ts';

const limitMs = 150_000;
/** After the limit, for a process that is killed. One that a driver holds does not end. */
const graceMs = 15_000;
/** Of what a provider and its libraries print. The last lines tell. */
const textSizeMax = 2000;

/** What `opens.ts` says where the graph ran. */
export const opened = 'it ran';

export type Opening = {
  readonly isOpen: boolean;
  readonly seconds: number;
  /** Where it does not open. */
  readonly why?: string;
  /** How its process ended where it opens and the process did not end well: a provider may fail while it is unloaded. */
  readonly how?: string;
  /** What else `opens.ts` told. */
  readonly [fact: string]: unknown;
};

/** Opens it in a process of its own. */
export async function opening(device: Device, { signal }: Pick<Section, 'signal'>): Promise<Opening> {
  const begin = performance.now();
  const said: string[] = [];
  const onLine = (line: string) => said.push(line);
  const script = fileURLToPath(new URL('./opens.js', import.meta.url));
  const options = { signal, limitMs, onLine, onErrorLine: onLine };
  const how = await Promise.race([
    runToEnd(process.execPath, [script, device], options),
    sleep(limitMs + graceMs, 'it cannot be ended', { ref: false }),
  ]);
  return openingOf(said, how, (performance.now() - begin) / 1000);
}

/** @param said the lines of `opens.ts` @param how it ended */
export function openingOf(said: readonly string[], how: string, seconds: number): Opening {
  const late = 1000 * seconds < limitMs ? [] : [`no end within ${limitMs / 1000} s`];
  if (!said.includes(opened)) {
    return { isOpen: false, seconds, why: [...said, how, ...late].join('; ').slice(-textSizeMax) };
  }
  const facts = Object.assign({}, ...said.map(objectOf)) as Readonly<Record<string, unknown>>;
  if (how === 'exit code 0') return { ...facts, isOpen: true, seconds };
  const others = said.filter((line) => line !== opened && objectOf(line) === undefined);
  return { ...facts, isOpen: true, seconds, how: [...others, how, ...late].join('; ').slice(-textSizeMax) };
}
