/** `npm run bench -- NAME [--json FILE] [--reference PYTHON]`: runs one bench and writes its figures as flat JSON. */

import { parseArgs } from 'node:util';

/** @param json where to write the figures; printed in any case */
export type BenchOptions = {
  readonly json?: string | undefined;
  /** A Python interpreter with the reference installed, for benches that compare with one. */
  readonly reference?: string | undefined;
};

type Bench = { run(options: BenchOptions): Promise<void> };

const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  engine: () => import('./engine.ts'),
  envs: () => import('./envs.ts'),
  serve: () => import('./serve.ts'),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' }, reference: { type: 'string' } },
});
const load = benches[positionals[0] ?? ''];
if (load === undefined || positionals.length !== 1) {
  const names = Object.keys(benches).join('|');
  console.error(`bench: expected one of ${names}, got "${positionals.join(' ')}"`);
  console.error(`Usage: npm run bench -- ${names} [--json FILE] [--reference PYTHON]`);
  process.exit(2);
}
await (await load()).run(values);
