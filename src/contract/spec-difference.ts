/** Tells specs that should be equal apart, in the few words of an error. */

import { type PolicySpecs, specSize, type TensorSpec } from './tensor-spec.ts';

/**
 * What each of two specs has: their sizes, `observation 17, action 6, no context`; where those are equal, the first value that differs.
 * @throws Error if nothing differs that the fingerprint covers
 */
export function specDifference(expected: PolicySpecs, actual: PolicySpecs): { expected: string; actual: string } {
  const named = parts.filter((part) => part !== 'context' || !haveOwnContexts(expected, actual));
  const sizes = { expected: sizesText(expected, named), actual: sizesText(actual, named) };
  if (sizes.expected !== sizes.actual) return sizes;
  for (const part of parts) {
    const [one, other] = [expected[part], actual[part]];
    if (one === null || other === null) continue;
    const at = one.names.findIndex((_, i) => valueText(one, i) !== valueText(other, i));
    if (at >= 0) return { expected: `${part} ${valueText(one, at)}`, actual: `${part} ${valueText(other, at)}` };
  }
  const sources = { expected: sourceText(expected), actual: sourceText(actual) };
  if (sources.expected !== sources.actual) return sources;
  throw new Error('specDifference: expected specs that differ, got equal ones');
}

const parts = ['observation', 'action', 'context'] as const;

/** A latent context that both have is a model's own, and no environment's. */
const haveOwnContexts = ({ context: one }: PolicySpecs, { context: other }: PolicySpecs): boolean =>
  one?.source === 'latent' && other?.source === 'latent' && specSize(one) === specSize(other);

const sizesText = (specs: PolicySpecs, named: readonly (keyof PolicySpecs)[]): string =>
  named
    .map((part) => {
      const spec = specs[part];
      return spec === null ? `no ${part}` : `${part} ${specSize(spec)}`;
    })
    .join(', ');

const valueText = ({ names, low, high, units }: TensorSpec, i: number): string =>
  `value ${i} "${names[i]}" in [${low[i] ?? '-inf'}, ${high[i] ?? 'inf'}] ${units[i]}`;

const sourceText = ({ context }: PolicySpecs): string =>
  context?.source === 'latent' ? 'a context that is inferred' : 'a context that is known';
