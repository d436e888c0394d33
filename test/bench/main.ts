/** `npm run bench -- NAME [options]`: runs one bench, prints its figures and writes them as flat JSON. */

import { HyperpolicyError } from '../../src/contract/errors.ts';
import { type BenchName, helpText, readArguments } from './arguments.ts';
import type { BenchOptions } from './options.ts';

type Bench = { run(options: BenchOptions): Promise<void> };

const benches: Readonly<Record<BenchName, () => Promise<Bench>>> = {
  clients: () => import('./clients.ts'),
  engine: () => import('./engine.ts'),
  envs: () => import('./envs.ts'),
  maml: () => import('./maml.ts'),
  pearl: () => import('./pearl.ts'),
  robot: () => import('./robot/robot.ts'),
  serve: () => import('./serve.ts'),
  train: () => import('./train.ts'),
};

const called = readOrRefuse();
if (called === undefined) console.log(helpText());
else await (await benches[called.name]()).run(called.options);

function readOrRefuse(): ReturnType<typeof readArguments> {
  try {
    return readArguments(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof HyperpolicyError)) throw error;
    console.error(error.message);
    return process.exit(2);
  }
}
