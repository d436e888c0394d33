/** The robot's loop against the real server: cycles a second, jitter and missed deadlines at 100 and 500 Hz, in TypeScript and Python. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { createController } from '../../clients/robot/index.ts';
import { createPolicyClient } from '../../clients/typescript/index.ts';
import type { Figures } from './measure.ts';

export const loopPeriodsMs = [10, 2] as const;

export type LoopOptions = {
  readonly address: string;
  readonly model: string;
  readonly observationSize: number;
  readonly seconds: number;
};

type LoopSummary = {
  readonly cyclesPerSecond: number;
  readonly jitterMs: { readonly p50: number; readonly p999: number; readonly max: number };
  readonly latencyMs: { readonly p50: number; readonly p99: number };
  readonly missedCount: number;
  readonly skippedCount: number;
};

/** One second of it warms up: the first cycles compile. */
const warmMs = 1000;

export async function typescriptLoops(options: LoopOptions): Promise<Figures> {
  const { address, model, observationSize, seconds } = options;
  const client = createPolicyClient({ address });
  const { safeAction } = await client.getModel({ model });
  const observation = new Float32Array(observationSize);
  const figures: Figures = {};
  for (const periodMs of loopPeriodsMs) {
    const stream = client.actStream({ model, clientId: 'loop', resume: true, newestWins: true });
    const loop = () => createController({ stream, safeAction, periodMs, observe: () => observation, apply: () => {} });
    await loop().run({ cycleCount: warmMs / periodMs });
    Object.assign(
      figures,
      figuresOf('typescript', periodMs, await loop().run({ cycleCount: Math.ceil((1000 * seconds) / periodMs) })),
    );
    await stream.close();
  }
  client.close();
  return figures;
}

/** @param script of the loops, with its environment */
export async function pythonLoops(
  options: LoopOptions,
  python: string,
  script: string,
  env: NodeJS.ProcessEnv,
): Promise<Figures> {
  const given = JSON.stringify({ ...options, periodsMs: loopPeriodsMs, warmMs });
  const { stdout } = await promisify(execFile)(python, [script, given], { env });
  const summaries = JSON.parse(stdout) as readonly LoopSummary[];
  return Object.assign({}, ...summaries.map((summary, i) => figuresOf('python', loopPeriodsMs[i]!, summary)));
}

function figuresOf(language: string, periodMs: number, summary: LoopSummary): Figures {
  const name = `${language}_loop_${1000 / periodMs}hz`;
  return {
    [`${name}_cycles_per_second`]: summary.cyclesPerSecond,
    [`${name}_jitter_p50_ms`]: summary.jitterMs.p50,
    [`${name}_jitter_p999_ms`]: summary.jitterMs.p999,
    [`${name}_jitter_max_ms`]: summary.jitterMs.max,
    [`${name}_latency_p50_ms`]: summary.latencyMs.p50,
    [`${name}_missed_count`]: summary.missedCount,
    [`${name}_skipped_count`]: summary.skippedCount,
  };
}
