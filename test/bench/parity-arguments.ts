/** The arguments of `npm run parity`, checked. */

import { parseArgs } from 'node:util';
import { type HyperpolicyError, invalidArgument } from '../../src/contract/errors.ts';

export type ParityArguments = {
  /** The interpreter of the reference. */
  readonly python: string;
  readonly environments: readonly string[];
  readonly seed: number;
};

/** The largest seed. Recordings of further episodes add to it, which NumPy takes beyond 32 bits too. */
const seedMax = 2 ** 32 - 1;

/**
 * @param names the environments that have a reference; all of them are compared unless some are named
 * @throws HyperpolicyError invalid_argument: no interpreter, an unknown environment, or a seed out of range
 */
export function readParityArguments(args: readonly string[], names: readonly string[]): ParityArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      reference: { type: 'string' },
      env: { type: 'string', multiple: true, default: [...names] },
      seed: { type: 'string', default: '1' },
    },
  });
  if (values.reference === undefined) throw refusal('PYTHON of --reference', 'nothing');
  const unknown = values.env.find((name) => !names.includes(name));
  if (unknown !== undefined) throw refusal(`--env to be one of ${names.join(', ')}`, `"${unknown}"`);
  const seed = Number(values.seed);
  if (!/^\d+$/.test(values.seed) || seed > seedMax) {
    throw refusal(`--seed to be an integer from 0 to ${seedMax}`, `"${values.seed}"`);
  }
  return { python: values.reference, environments: values.env, seed };
}

const refusal = (expected: string, actual: string): HyperpolicyError =>
  invalidArgument({
    where: 'parity',
    expected,
    actual,
    remedy: 'Usage: npm run parity -- --reference PYTHON [--env E ...] [--seed S]',
  });
