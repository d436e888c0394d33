/** The run as a picture: faults, modes, the age of actions, the robot's height and way over time; and how long answers took. */

import type { TopLevelSpec } from 'vega-lite';
import { fontFamilies } from '../../../trainer/seeing/drawing.ts';
import { ageMsMax } from './hopper.ts';
import { faults, type SimulationResult } from './simulation.ts';

const width = 900;
const modeColours = { fresh: '#2a9d57', hold: '#f2b134', ramp: '#e8743b', safe: '#b3282d' };

export function chartOf(
  { cycles, poses, beginMs, summary, fallCount, policyFallCount, distance }: SimulationResult,
  seconds: number,
): TopLevelSpec {
  const rows = cycles.map(({ dueMs, mode, ageMs, latencyMs }, i) => ({
    second: (dueMs - beginMs) / 1000,
    mode,
    age: Math.min(ageMs, 1000),
    latency: latencyMs ?? null,
    height: poses[i]!.height,
    x: poses[i]!.x,
  }));
  const spans = faults.map(({ name, from, to }) => ({ name, from: from * seconds, to: to * seconds }));
  const second = { field: 'second', type: 'quantitative', scale: { domain: [0, seconds], nice: false } } as const;
  const time = (title: string | null) => ({ x: { ...second, axis: { title } } }) as const;
  const shaded = {
    data: { values: spans },
    mark: { type: 'rect', color: '#5b7fb5', opacity: 0.18 },
    encoding: { x: { field: 'from', type: 'quantitative' }, x2: { field: 'to' } },
  } as const;
  const named = {
    data: { values: spans },
    mark: { type: 'text', align: 'left', baseline: 'bottom', dx: 1, y: -2, fontSize: 11 },
    encoding: { x: { field: 'from', type: 'quantitative' }, text: { field: 'name' } },
  } as const;
  const { fresh, hold, ramp, safe } = summary.modes;
  return {
    background: 'white',
    padding: 12,
    title: {
      text: `A hopper at 100 Hz for ${seconds} s: ${distance.toFixed(1)} m, ${fallCount} falls (${policyFallCount} without faults)`,
      subtitle:
        `${summary.cyclesPerSecond.toFixed(1)} cycles a second; ${fresh} fresh, ${hold} hold, ${ramp} ramp, ${safe} safe; ` +
        `jitter p99.9 ${summary.jitterMs.p999.toFixed(2)} ms; ${summary.missedCount} deadlines missed, ${summary.skippedCount} periods skipped`,
      anchor: 'start',
      offset: 24,
    },
    config: { font: fontFamilies, view: { stroke: null }, axis: { gridColor: '#e6e6e6', titleFontWeight: 'normal' } },
    data: { values: rows },
    vconcat: [
      {
        width,
        height: 36,
        layer: [
          {
            mark: { type: 'tick', thickness: 1.2, height: 34 },
            encoding: {
              ...time(null),
              color: {
                field: 'mode',
                type: 'nominal',
                scale: { domain: Object.keys(modeColours), range: Object.values(modeColours) },
                title: 'command',
              },
            },
          },
          shaded,
          named,
        ],
      },
      {
        width,
        height: 110,
        layer: [
          shaded,
          {
            mark: { type: 'line', strokeWidth: 1, color: '#444444' },
            encoding: {
              ...time(null),
              y: {
                field: 'age',
                type: 'quantitative',
                scale: { type: 'symlog', constant: 10 },
                title: 'age of newest action, ms',
              },
            },
          },
          {
            data: { values: [{ limit: ageMsMax }] },
            mark: { type: 'rule', color: '#b3282d' },
            encoding: { y: { field: 'limit', type: 'quantitative' } },
          },
        ],
      },
      { width, height: 90, layer: [shaded, line({ field: 'height', title: 'height of the torso, m' }, time(null))] },
      { width, height: 90, layer: [shaded, line({ field: 'x', title: 'way, m' }, time('seconds'))] },
      {
        width,
        height: 130,
        transform: [{ filter: 'datum.latency != null' }],
        mark: { type: 'bar', color: '#2b5c8a' },
        encoding: {
          x: {
            field: 'latency',
            type: 'quantitative',
            bin: { maxbins: 60 },
            title: 'latency of answers that came within their cycle, ms',
          },
          y: { aggregate: 'count', type: 'quantitative', scale: { type: 'symlog' }, title: 'cycles' },
        },
      },
    ],
  } as TopLevelSpec;
}

const line = ({ field, title }: { readonly field: string; readonly title: string }, time: object) => ({
  mark: { type: 'line', strokeWidth: 1, color: '#2b5c8a' },
  encoding: { ...time, y: { field, type: 'quantitative', title } },
});
