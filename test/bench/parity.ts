/**
 * Compares an environment with its reference on fresh trajectories of any seed.
 *
 *     npm run parity -- --reference PYTHON [--env E ...] [--seed S]
 *
 * PYTHON: an interpreter with mujoco==3.3.7 and gymnasium[mujoco]==1.2.3. Exits 1 where a difference is over its limit.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEnvironment } from '../../src/envs/registry.ts';
import { openSimulator } from '../../src/envs/simulator.ts';
import { compareFreeRun, compareModel, compareTransitions, type Gaps } from '../envs/parity.ts';
import { type ReferenceCase, referenceCases } from '../envs/reference-cases.ts';
import { readRecording } from '../golden/envs/read.ts';
import { type ParityArguments, readParityArguments } from './parity-arguments.ts';

const freeStepCount = 10;
const limits = { model: 1e-12, motion: 1e-9 };

function readArguments(): ParityArguments {
  try {
    const names = referenceCases.map(({ name }) => name);
    return readParityArguments(process.argv.slice(2), names);
  } catch (error) {
    console.error((error as Error).message);
    process.exit(2);
  }
}

const { python, environments, seed } = readArguments();

/** The largest difference of a comparison, printed. @returns true where it is within the limit */
function judge(what: string, gaps: Gaps, limit: number): boolean {
  const [worst, gap] = Object.entries(gaps).reduce((a, b) => (b[1] > a[1] ? b : a));
  const good = gap <= limit;
  console.log(`  ${good ? 'ok  ' : 'FAIL'} ${what.padEnd(24)} ${gap.toExponential(1)} (${worst}), limit ${limit}`);
  return good;
}

async function compare({ name, model }: ReferenceCase, folder: string): Promise<boolean> {
  const recording = readRecording(name, folder);
  console.log(`${name}, seed ${recording.seed}, ${JSON.stringify(recording.versions)}`);
  const env = await createEnvironment(name);
  const verdicts = [
    judge(`${freeStepCount} free steps`, compareFreeRun(env, recording, freeStepCount), limits.motion),
    judge(`${recording.rowCount} transitions`, compareTransitions(env, recording), limits.motion),
  ];
  env.dispose();
  if (model !== undefined) {
    const simulator = await openSimulator(model());
    verdicts.push(judge('compiled model', compareModel(simulator.model, recording), limits.model));
    simulator.dispose();
  }
  return !verdicts.includes(false);
}

const folder = mkdtempSync(join(tmpdir(), 'hyperpolicy-parity-'));
try {
  const script = join('test', 'golden', 'envs', 'generate.py');
  const chosen = environments.flatMap((name) => ['--env', name]);
  execFileSync(python, ['-B', script, '--seed', String(seed), '--out', folder, ...chosen], { stdio: 'inherit' });
  const verdicts: boolean[] = [];
  for (const subject of referenceCases) {
    if (environments.includes(subject.name)) verdicts.push(await compare(subject, folder));
  }
  process.exitCode = verdicts.includes(false) ? 1 : 0;
} finally {
  rmSync(folder, { recursive: true });
}
