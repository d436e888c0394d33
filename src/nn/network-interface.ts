/**
 * What a network needs beside its parameters to act in an environment, as JSON: specs, the scaling of its actions, the
 * normalisation of its inputs, and the scale of the rewards that its values are of. Numbers come back with the same bits.
 */

import { z } from 'zod';
import { checkSpecBounds } from '../contract/bounds.ts';
import { invalidArgument } from '../contract/errors.ts';
import { contextSpecSchema, type PolicySpecs, specSize, tensorSpecSchema } from '../contract/tensor-spec.ts';
import { actionScaling } from './action-scaling.ts';
import type { NetworkDescription } from './network.ts';
import type { Normalisation } from './normalisation.ts';
import type { Units } from './units.ts';

export type NetworkInterface = {
  readonly specs: PolicySpecs;
  /** The scaling's bounds are those of the specs. */
  readonly units: Units;
  /** Training reward = scale x environment reward. */
  readonly rewardScale: number;
};

const values = z.array(z.number());
const positive = z.array(z.number().positive());
const normalisation = z.object({ shift: values, scale: z.array(z.number().refine((scale) => scale !== 0)) });
const schema = z.object({
  specs: z.object({ observation: tensorSpecSchema, action: tensorSpecSchema, context: contextSpecSchema.nullable() }),
  scaling: z.object({ centre: values, half: positive }),
  normalisation: z.object({ observation: normalisation.optional(), context: normalisation.optional() }),
  rewardScale: z.number().positive(),
});

export function formatInterface({ specs, units, rewardScale }: NetworkInterface): string {
  const { scaling, observation, context } = units;
  return JSON.stringify({
    specs,
    scaling: { centre: [...scaling.centre], half: [...scaling.half] },
    normalisation: { observation: toNumbers(observation), context: toNumbers(context) },
    rewardScale,
  });
}

/**
 * @param where names the text in errors
 * @throws HyperpolicyError invalid_argument: not JSON, a field that is missing or of another type, sizes that are not the network's
 */
export function parseInterface(text: string, { sizes }: NetworkDescription, where: string): NetworkInterface {
  const parsed = schema.safeParse(jsonOf(text));
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw invalidArgument({ where, expected: `a valid "${path.join('.')}"`, actual: message });
  }
  const { specs, scaling, normalisation: constants, rewardScale } = parsed.data;
  const checkSize = (name: string, expected: number, actual: number) => {
    if (actual !== expected)
      throw invalidArgument({ where: `${where} ${name}`, expected: `${expected} values`, actual: `${actual}` });
  };
  checkSize('observation', sizes.observationSize, specSize(specs.observation));
  checkSize('action', sizes.actionSize, specSize(specs.action));
  checkSize('scaling', sizes.actionSize, scaling.centre.length);
  checkSize('scaling', sizes.actionSize, scaling.half.length);
  for (const name of ['observation', 'context'] as const) {
    const spec = specs[name];
    const lists = constants[name];
    if (lists === undefined) continue;
    for (const list of Object.values(lists))
      checkSize(`normalisation of the ${name}`, spec === null ? 0 : specSize(spec), list.length);
  }
  checkSpecBounds(where, specs);
  return {
    specs,
    units: {
      scaling: {
        ...actionScaling(specs.action),
        centre: Float32Array.from(scaling.centre),
        half: Float32Array.from(scaling.half),
      },
      observation: fromNumbers(constants.observation),
      context: fromNumbers(constants.context),
    },
    rewardScale,
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const toNumbers = (constants: Normalisation | undefined) =>
  constants && { shift: [...constants.shift], scale: [...constants.scale] };

const fromNumbers = (constants: z.infer<typeof normalisation> | undefined): Normalisation | undefined =>
  constants && { shift: Float32Array.from(constants.shift), scale: Float32Array.from(constants.scale) };
