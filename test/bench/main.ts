/** `npm run bench -- NAME [options]`: runs one bench, prints its figures and writes them as flat JSON. */

import { parseArgs } from 'node:util';
import type { BenchOptions } from './options.ts';

type Bench = { run(options: BenchOptions): Promise<void> };

const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  clients: () => import('./clients.ts'),
  engine: () => import('./engine.ts'),
  envs: () => import('./envs.ts'),
  maml: () => import('./maml.ts'),
  pearl: () => import('./pearl.ts'),
  robot: () => import('./robot/robot.ts'),
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
    tasks: { type: 'string' },
    episodes: { type: 'string' },
    peers: { type: 'string' },
    profile: { type: 'string' },
    out: { type: 'string' },
    seconds: { type: 'string' },
  },
});
const load = benches[positionals[0] ?? ''];
const countNames = ['rounds', 'tasks', 'episodes', 'seconds'] as const;
const counts = Object.fromEntries(
  countNames.flatMap((name) => (values[name] === undefined ? [] : [[name, Number(values[name])] as const])),
);
const wrong = countNames.find((name) => name in counts && !(Number.isSafeInteger(counts[name]) && counts[name]! > 0));
const usage = (reason: string): never => {
  console.error(`bench: ${reason}`);
  console.error(
    `Usage: npm run bench -- ${Object.keys(benches).join('|')} [--json FILE] [--reference PYTHON]
       clients: [--rounds N] [--seconds N]; what PYTHON needs: pip install ./clients/python
       robot: [--seconds N] [--out FILE.svg]
       serve: [--only PART,...] [--rounds N] [--peers PYTHON] [--profile DIRECTORY]
       maml: [--only POLICY,...] [--rounds N] [--tasks N] [--episodes N]; what PYTHON needs: pip install torch "gymnasium[mujoco]"
       pearl: [--only 4,16] [--rounds N]; what PYTHON needs: pip install torch
       train: [--only td3_mlp,td3_sa_hyper,sac_mlp,sac_sa_hyper] [--rounds N]; what PYTHON needs:
              pip install torch stable-baselines3 "gymnasium[mujoco]" sbx-rl "rltools[mkl]"`,
  );
  return process.exit(2);
};
if (load === undefined || positionals.length !== 1) {
  usage(`expected one of ${Object.keys(benches).join('|')}, got "${positionals.join(' ')}"`);
} else if (wrong !== undefined) {
  usage(`--${wrong}: expected an integer from 1, got "${values[wrong]}"`);
} else {
  await (await load()).run({
    ...values,
    rounds: undefined,
    tasks: undefined,
    episodes: undefined,
    seconds: undefined,
    ...counts,
  });
}
