/** Where the server's time went: the functions with most time of their own in the CPU profiles of its threads. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What V8 writes. Times in microseconds. */
export type CpuProfile = {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
};

export type ProfileEntry = { readonly name: string; readonly percent: number };

const listedCount = 25;
const idle = '(idle)';

/**
 * Functions by time of their own, most first, in percent of the time that was not idle.
 * @param skipMs of the beginning, which do not count: the start of the process
 */
export function selfTimes({ nodes, samples, timeDeltas }: CpuProfile, skipMs: number): ProfileEntry[] {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const times = new Map<string, number>();
  let elapsedUs = 0;
  let busyUs = 0;
  samples.forEach((id, i) => {
    const deltaUs = timeDeltas[i]!;
    elapsedUs += deltaUs;
    const name = names.get(id)!;
    if (elapsedUs < skipMs * 1000 || name === idle) return;
    busyUs += deltaUs;
    times.set(name, (times.get(name) ?? 0) + deltaUs);
  });
  return [...times].map(([name, us]) => ({ name, percent: (100 * us) / busyUs })).sort((a, b) => b.percent - a.percent);
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  return url === '' ? name : `${name} ${url.split('/').slice(-3).join('/')}:${lineNumber + 1}`;
}

/** Prints the first functions of each profile in a directory. */
export async function printProfiles(directory: string, skipMs: number): Promise<void> {
  for (const file of (await readdir(directory)).filter((name) => name.endsWith('.cpuprofile'))) {
    const profile = JSON.parse(await readFile(join(directory, file), 'utf8')) as CpuProfile;
    console.log(`\n${join(directory, file)}, percent of the time that was not idle, without the start:`);
    for (const { name, percent } of selfTimes(profile, skipMs).slice(0, listedCount)) {
      console.log(`${percent.toFixed(1).padStart(5)}  ${name}`);
    }
  }
}
