/** Makes a whole config of the settings that are given. Every setting is checked here and nowhere else. */

import { z } from 'zod';
import { invalidArgument, shownValue } from '../../src/contract/errors.ts';
import { meant } from '../../src/contract/nearest.ts';
import type { Algorithm } from './algorithm.ts';
import { commonSchema, type GivenConfig, type RunConfig } from './config.ts';
import { settingsOf } from './setting.ts';

const schemaOf = ({ name, schemas }: Algorithm): z.ZodObject =>
  z.strictObject({
    ...commonSchema.shape,
    algorithm: schemas.algorithm.extend({ name: z.literal(name, { error: `"${name}"` }) }),
    loop: schemas.loop,
  });

/**
 * Fills the settings that are not given with defaults, and checks every value.
 * @param source names the origin of the settings in errors, e.g. a file
 * @throws HyperpolicyError invalid_argument: an unknown setting, or a value that does not fit
 */
export function completeConfig(algorithm: Algorithm, given: GivenConfig, source = 'config'): RunConfig {
  const schema = schemaOf(algorithm);
  const whole = withDefaults(algorithm, given);
  const result = schema.safeParse(whole);
  if (result.success) return result.data as RunConfig;
  throw refusal(schema, result.error.issues[0]!, whole, source);
}

/** Fills the settings that are not given, and checks nothing. */
export function withDefaults(
  { name, defaults }: Pick<Algorithm, 'name' | 'defaults'>,
  given: GivenConfig,
): GivenConfig {
  // Without undefined values, which would stand before a default.
  const known = merged({}, given);
  const group = (of: string) => (isRecord(known[of]) ? known[of] : {});
  const environment = typeof known.environment === 'string' ? known.environment : '';
  const { algorithm, loop } = defaults({ environment, algorithm: group('algorithm'), loop: group('loop') });
  return merged({ algorithm: { name, ...algorithm }, loop }, known);
}

/** `under` with the values of `over` in place of its own, also inside objects. An undefined value changes nothing. */
export function merged(under: GivenConfig, over: GivenConfig): GivenConfig {
  const both = { ...under };
  for (const [name, value] of Object.entries(over)) {
    if (value === undefined) continue;
    const former = both[name];
    both[name] = isRecord(value) ? merged(isRecord(former) ? former : {}, value) : value;
  }
  return both;
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Every setting that is not a group of others, by its dotted name. */
export const dotted = (settings: object, path: readonly string[] = []): [name: string, value: unknown][] =>
  Object.entries(settings).flatMap(([name, value]): [string, unknown][] =>
    isRecord(value) ? dotted(value, [...path, name]) : [[[...path, name].join('.'), value]],
  );

/** Dotted names of the settings and of their groups. */
const namesOf = (schema: z.ZodObject): string[] => [
  ...new Set(settingsOf(schema).flatMap(({ path }) => path.map((_, i) => path.slice(0, i + 1).join('.')))),
];

/** The settings without those of these dotted names, and without groups that have nothing else. */
export const without = (settings: object, names: ReadonlySet<string>, path: readonly string[] = []): GivenConfig =>
  Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) => {
      const at = [...path, name];
      if (names.has(at.join('.'))) return [];
      const rest = isRecord(value) ? without(value, names, at) : value;
      const isEmptied = isRecord(rest) && Object.keys(rest).length < Object.keys(value).length;
      return isEmptied && Object.keys(rest).length === 0 ? [] : [[name, rest]];
    }),
  );

function refusal(schema: z.ZodObject, issue: z.core.$ZodIssue, config: GivenConfig, source: string): Error {
  const path = issue.path.map(String);
  const isGroup = issue.code === 'invalid_type' && issue.expected === 'object';
  if (issue.code === 'unrecognized_keys') {
    const unknown = [...path, issue.keys[0]!].join('.');
    const near = meant(unknown, namesOf(schema));
    return invalidArgument({
      where: `${source}: ${unknown}`,
      expected: 'a setting that exists',
      actual: 'an unknown one',
      remedy: `${near === undefined ? '' : `Did you mean ${near}? `}--print-config shows all`,
    });
  }
  const value = path.reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], config);
  return invalidArgument({
    where: `${source}: ${path.join('.')}`,
    expected: isGroup ? 'an object of settings' : issue.message,
    actual: value === undefined ? 'nothing' : shownValue(value),
  });
}
