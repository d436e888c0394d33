/** Observation, action and context specs: what each value means, its bounds and its unit. Does not know how values travel. */

import { createHash } from 'node:crypto';
import { z } from 'zod';
import { atMost } from './bounded.ts';

/** Values of one observation, action or context: those of some pictures. */
const valueCountMax = 2 ** 16;

/** One bound per value; `null` where the value is unbounded (JSON has no infinity). What a bound can be: `checkBounds`. */
const bounds = atMost(
  valueCountMax,
  z.array(z.custom<number>((bound) => typeof bound === 'number', 'expected a number or null').nullable()),
);

export const tensorSpecSchema = z
  .object({
    /** One name per value, e.g. `torso.pitch`. */
    names: atMost(valueCountMax, z.array(z.string().min(1)).min(1)),
    low: bounds,
    high: bounds,
    /** One unit per value, e.g. `rad`, `m/s`, `1`. */
    units: atMost(valueCountMax, z.array(z.string().min(1))),
  })
  .refine(({ names, low, high, units }) => [low, high, units].every((list) => list.length === names.length), {
    error: ({ input }) => {
      const { names, low, high, units } = input as Readonly<Record<string, readonly unknown[]>>;
      return `lists of different lengths: ${names!.length} names, ${low!.length} low, ${high!.length} high, ${units!.length} units`;
    },
  });

/** The meaning of the last dimension of a tensor of clients: S values with names, bounds and units. Environment units throughout. */
export type TensorSpec = z.infer<typeof tensorSpecSchema>;

/** Where a context comes from: `oracle` is known to the client (a goal velocity); `latent` is inferred (PEARL's z). */
export const contextSpecSchema = z.intersection(tensorSpecSchema, z.object({ source: z.enum(['oracle', 'latent']) }));
export type ContextSpec = z.infer<typeof contextSpecSchema>;

/** Everything that a client must agree on with a model. */
export type PolicySpecs = {
  readonly observation: TensorSpec;
  readonly action: TensorSpec;
  readonly context: ContextSpec | null;
};

export const specSize = (spec: TensorSpec): number => spec.names.length;

/** Values of one observation, action and context; 0 without a context. */
export type SpecSizes = Readonly<Record<'observationSize' | 'actionSize' | 'contextSize', number>>;

export const specSizes = ({ observation, action, context }: PolicySpecs): SpecSizes => ({
  observationSize: specSize(observation),
  actionSize: specSize(action),
  contextSize: context === null ? 0 : specSize(context),
});

/**
 * SHA-256 over the specs in a canonical order, as `sha256:<hex>`. Two parties with the same fingerprint agree on
 * names, bounds, units and order of every value.
 */
export function fingerprint({ observation, action, context }: PolicySpecs): string {
  const canonical = (spec: TensorSpec) => [spec.names, spec.low, spec.high, spec.units];
  const text = JSON.stringify([
    canonical(observation),
    canonical(action),
    context === null ? null : [context.source, ...canonical(context)],
  ]);
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

/** A spec of S values named `prefix.0 ... prefix.S-1`, unbounded unless bounds are given. */
export function plainSpec(
  prefix: string,
  size: number,
  { low = null, high = null, unit = '1' }: { low?: number | null; high?: number | null; unit?: string } = {},
): TensorSpec {
  const fill = <T>(value: T): T[] => Array.from({ length: size }, () => value);
  return {
    names: Array.from({ length: size }, (_, i) => `${prefix}.${i}`),
    low: fill(low),
    high: fill(high),
    units: fill(unit),
  };
}
