/** What the runtime's profiles tell of a graph: which operators ran on the device, which on the CPU, and what was copied between them. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { objectOf } from '../serve-processes.ts';

/** The environment of a process whose sessions write profiles into a folder: as `profiled.ts` does. */
export const profilingInto = (folder: string): NodeJS.ProcessEnv => ({
  ...process.env,
  NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import=${new URL('./profiled.js', import.meta.url)}`,
  CHECK_PROFILES: folder,
});

/** The file of a session's profile, but for what the runtime adds. @param id unique among sessions */
export const profileName = ({ device, graph, id }: Readonly<Record<'device' | 'graph' | 'id', string>>): string =>
  [device, graph.replace(/[^\w.-]/g, '-'), id].join('~');

export type Placement = {
  readonly graph: string;
  /** Operators that ran on the device, in all runs: one in a loop of five passes counts five times. */
  readonly onDevice: number;
  /** The same on the CPU, and copies between the two, by name. */
  readonly onCpu: Readonly<Record<string, number>>;
  readonly copies: Readonly<Record<string, number>>;
  /**
   * Those that took the host longest, but for the longest time of each, which may load code: on a device it mostly starts them, and waits where
   * it needs a value.
   */
  readonly longest: readonly OperatorTime[];
};

type OperatorTime = {
  readonly op: string;
  readonly on: string;
  readonly count: number;
  readonly ms: number;
  /** Of one of them. */
  readonly mostMs: number;
};

/** Of each graph that ran on a device, the longest profile in a folder. */
export function readPlacements(folder: string, device: string): Placement[] {
  const longest = new Map<string, string>();
  for (const file of readdirSync(folder)) {
    const [on, graph] = file.split('~');
    if (on !== device) continue;
    const text = readFileSync(join(folder, file), 'utf8');
    if (text.length > (longest.get(graph!)?.length ?? -1)) longest.set(graph!, text);
  }
  // A graph that a row program runs in its place has a session, too.
  return [...longest]
    .map(([graph, text]) => ({ graph, ...placementOf(text) }))
    .filter((placement) => placement.longest.length > 0);
}

const cpu = 'CPUExecutionProvider';
/** Their time has that of what is in them. */
const outer = new Set(['If', 'Loop']);
const longestCount = 6;

/** @param text of a profile; of one that was cut, what is there */
export function placementOf(text: string): Omit<Placement, 'graph'> {
  const onCpu: Record<string, number> = {};
  const copies: Record<string, number> = {};
  let onDevice = 0;
  const times = new Map<string, OperatorTime>();
  for (const line of text.split('\n')) {
    const event = objectOf(line.replace(/,\s*$/, '')) as NodeEvent | undefined;
    if (event?.cat !== 'Node' || !event.name.endsWith('_kernel_time')) continue;
    const { op_name: op, provider } = event.args;
    if (op.startsWith('Memcpy')) copies[op] = (copies[op] ?? 0) + 1;
    else if (provider === cpu) onCpu[op] = (onCpu[op] ?? 0) + 1;
    else onDevice += 1;
    if (outer.has(op)) continue;
    const on = provider.replace('ExecutionProvider', '');
    const key = `${op} ${on}`;
    const { count, ms, mostMs } = times.get(key) ?? { count: 0, ms: 0, mostMs: 0 };
    const own = event.dur / 1000;
    times.set(key, { op, on, count: count + 1, ms: ms + own, mostMs: Math.max(mostMs, own) });
  }
  const longest = [...times.values()].sort((a, b) => b.ms - b.mostMs - (a.ms - a.mostMs)).slice(0, longestCount);
  return { onDevice, onCpu, copies, longest };
}

type NodeEvent = {
  readonly cat: string;
  readonly name: string;
  /** Microseconds. */
  readonly dur: number;
  readonly args: { readonly op_name: string; readonly provider: string };
};
