/**
 * Which bounds a value can have, and how values in float32 keep them. The one place for specs of environment files, import options,
 * network files and manifests, and for whatever clips actions.
 */

import { type HyperpolicyError, invalidArgument } from './errors.ts';
import type { PolicySpecs, TensorSpec } from './tensor-spec.ts';

/** The largest finite float32: what networks compute in and the wire carries. */
export const float32Max = (2 - 2 ** -23) * 2 ** 127;

type Bounds = Pick<TensorSpec, 'low' | 'high'> & { readonly names?: readonly string[] };

/**
 * Refuses bounds that no value can keep: not finite or beyond float32, or a low that is not below its high once both are rounded inwards
 * to float32.
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
    const isRange = roundedUp(lowest) < roundedDown(highest) && Math.fround((highest - lowest) / 2) > 0;
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

/** Of each value; infinite where there is none. */
export type Float32Bounds = { readonly low: Float32Array; readonly high: Float32Array };

/**
 * The widest bounds in float32 that lie within those of the spec: a low is rounded up, a high down. To the nearest, 0.1 would be
 * 0.10000000149. Bounds that float32 holds exactly stay as they are.
 */
export const float32Bounds = ({ low, high }: Bounds): Float32Bounds => ({
  low: Float32Array.from(low, (bound) => roundedUp(bound ?? Number.NEGATIVE_INFINITY)),
  high: Float32Array.from(high, (bound) => roundedDown(bound ?? Number.POSITIVE_INFINITY)),
});

/** Clips rows of values to the bounds, in place. @param rows [N, S] */
export function clipToBounds(rows: Float32Array, { low, high }: Float32Bounds): void {
  for (let i = 0; i < rows.length; i++) {
    rows[i] = Math.min(Math.max(rows[i]!, low[i % low.length]!), high[i % low.length]!);
  }
}

/** The least float32 that is not below the value. */
const roundedUp = (value: number): number => -roundedDown(-value);

const float = new Float32Array(1);
const bits = new Int32Array(float.buffer);

/** The largest float32 that is not above the value. */
function roundedDown(value: number): number {
  float[0] = value;
  if (!(float[0]! > value)) return float[0]!;
  // Rounded up from below 0 to it: the next is the negative one of least size.
  if (float[0] === 0) return -(2 ** -149);
  bits[0]! += float[0]! > 0 ? -1 : 1;
  return float[0]!;
}
