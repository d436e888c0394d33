/** Whether a device runs a small graph at all. The first process that opens one reads the provider and its libraries, too: seconds, or minutes. */

import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Device } from '../../../src/onnx/providers.ts';
import { runToEnd } from '../serve-processes.ts';
import type { Section } from './section.ts';

const limitMs = 150_000;
/** After the limit, for a process that is killed. One that a driver holds does not end. */
const graceMs = 15_000;
/** Of what a provider and its libraries print. The last lines tell. */
const textSizeMax = 2000;

export type Opening = { readonly isOpen: boolean; readonly seconds: number; readonly why?: string };

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
  const seconds = (performance.now() - begin) / 1000;
  if (how === 'exit code 0') return { isOpen: true, seconds };
  const late = 1000 * seconds < limitMs ? [] : [`no end within ${limitMs / 1000} s`];
  return { isOpen: false, seconds, why: [...said, how, ...late].join('; ').slice(-textSizeMax) };
}
