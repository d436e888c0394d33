/** Which bounds a value can have. The one place for specs of environment files, import options, network files and manifests. */

import { type HyperpolicyError, invalidArgument } from './errors.ts';
import type { PolicySpecs, TensorSpec } from './tensor-spec.ts';

/** The largest finite float32: what networks compute in and the wire carries. */
export const float32Max = (2 - 2 ** -23) * 2 ** 127;

type Bounds = Pick<TensorSpec, 'low' | 'high'> & { readonly names?: readonly string[] };

/**
 * Refuses bounds that no value can keep: not finite or beyond float32, or a low that is not below its high in float32.
 * @param where names the spec in errors, e.g. `manifest.json action`
 * @param words what the two are called there
 * @throws HyperpolicyError invalid_argument naming the value
 */
export function checkBounds(where: string, { names, low, high }: Bounds, words = { low: 'low', high: 'high' }): void {
  low.forEach((lowest, i) => {
    const highest = high[i] ?? null;
    const refuse = (expected: string): HyperpolicyError =>
      invalidArgument({
        where: `${where} value ${i}${names === undefined ? '' : ` ("${names[i]}")`}`,
        expected,
        actual: `${lowest ?? 'none'} and ${highest ?? 'none'}`,
      });
    for (const bound of [lowest, highest]) {
      if (bound === null || Math.abs(bound) <= float32Max) continue;
      throw refuse(`${words.low} and ${words.high} that float32 can hold, or none`);
    }
    if (lowest === null || highest === null) return;
    // Half of the range is what actions are scaled by: it must not become 0.
    const isRange = Math.fround(lowest) < Math.fround(highest) && Math.fround((highest - lowest) / 2) > 0;
    if (!isRange) throw refuse(`${words.low} below ${words.high}`);
  });
}

/** The same for every spec. @param where names their owner, e.g. `manifest.json` */
export function checkSpecBounds(where: string, { observation, action, context }: PolicySpecs): void {
  for (const [part, spec] of Object.entries({ observation, action, context })) {
    if (spec !== null) checkBounds(`${where} ${part}`, spec);
  }
}

/**
 * For algorithms whose actions are a share of a range: refuses values that lack a bound.
 * @param where names who asks, e.g. `train td3`
 * @throws HyperpolicyError invalid_argument naming the value
 */
export function requireBounds(where: string, { names, low, high }: TensorSpec): void {
  const i = names.findIndex((_, at) => (low[at] ?? null) === null || (high[at] ?? null) === null);
  if (i < 0) return;
  throw invalidArgument({
    where: `${where}: action "${names[i]}"`,
    expected: 'a low and a high bound, as the policy maps -1 to 1 onto them',
    actual: `low ${low[i] ?? 'none'}, high ${high[i] ?? 'none'}`,
    remedy: 'Give both in the specs of the environment, as wide as actions should be tried',
  });
}

/** A sentence about the values without one bound or both, which nothing clips there; undefined if there are none. */
export function unboundedText({ names, low, high }: TensorSpec): string | undefined {
  const lacking = names.flatMap((name, i) => {
    const missing = [(low[i] ?? null) === null && 'low', (high[i] ?? null) === null && 'high'].filter(Boolean);
    return missing.length === 0 ? [] : [`"${name}" has no ${missing.join(' and no ')} bound`];
  });
  if (lacking.length === 0) return undefined;
  const more = lacking.length > 4 ? ` and ${lacking.length - 3} more` : '';
  return `action ${lacking.slice(0, more === '' ? 4 : 3).join(', ')}${more}: nothing clips it there`;
}
