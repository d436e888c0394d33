/** `--adapt-episodes` and its like, of the commands that play models. */

import { invalidArgument } from '../../src/contract/errors.ts';

/**
 * Episodes before adaptation: those that are given, else as many as its trainer's evaluations had.
 * @param model.least that it can adapt to
 * @throws HyperpolicyError invalid_argument: not given and not known, or fewer than there must be
 */
export function adaptEpisodesOf(
  given: number | undefined,
  { name, own, least }: { readonly name: string; readonly own: number | undefined; readonly least: number },
): number {
  const count = given ?? own;
  if (count !== undefined && count >= least) return count;
  throw invalidArgument({
    where: '--adapt-episodes',
    expected:
      count === undefined
        ? `a count, since "${name}" does not say how many its trainer had`
        : `at least ${least}, since "${name}" adapts its weights to them`,
    actual: count === undefined ? 'none' : `${count}`,
    remedy: 'Give one: --adapt-episodes 10',
  });
}

/** @param given values by flag @throws HyperpolicyError invalid_argument: one of a model that does not adapt */
export function refuseAdaptation(name: string, given: Readonly<Record<string, number | undefined>>): void {
  const flag = Object.keys(given).find((one) => given[one] !== undefined);
  if (flag === undefined) return;
  throw invalidArgument({
    where: flag,
    expected: 'a model that adapts to experience',
    actual: `"${name}", which does not`,
    remedy: 'Leave it out; --episodes is the number of episodes',
  });
}
