/** `npm run bench -- NAME [options]`: runs one bench, prints its figures and writes them as flat JSON. */

import { parseArgs } from 'node:util';
import type { BenchOptions } from './options.ts';

type Bench = { run(options: BenchOptions): Promise<void> };

const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  engine: () => import('./engine.ts'),
  envs: () => import('./envs.ts'),
  serve: () => import('./serve.ts'),
  train: () => import('./train.ts'),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    reference: { type: 'string' },
    only: { type: 'string' },
    rounds: { type: 'string' },
    peers: { type: 'string' },
    profile: { type: 'string' },
  },
});
const load = benches[positionals[0] ?? ''];
const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
const usage = (reason: string): never => {
  console.error(`bench: ${reason}`);
  console.error(
    `Usage: npm run bench -- ${Object.keys(benches).join('|')} [--json FILE] [--reference PYTHON]
       serve: [--only PART,...] [--rounds N] [--peers PYTHON] [--profile DIRECTORY]
       train: [--only td3_mlp,td3_sa_hyper,sac_mlp,sac_sa_hyper] [--rounds N]; what PYTHON needs:
              pip install torch stable-baselines3 "gymnasium[mujoco]" sbx-rl "rltools[mkl]"`,
  );
  return process.exit(2);
};
if (load === undefined || positionals.length !== 1) {
  usage(`expected one of ${Object.keys(benches).join('|')}, got "${positionals.join(' ')}"`);
} else if (rounds !== undefined && !(Number.isSafeInteger(rounds) && rounds > 0)) {
  usage(`--rounds: expected an integer from 1, got "${values.rounds}"`);
} else {
  await (await load()).run({ ...values, rounds });
}
