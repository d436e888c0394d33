/** Settings that a person gave and that nothing reads, because of what else was chosen: the user hears of each. */

import type { Algorithm } from './algorithm.ts';
import { dotted, isRecord } from './complete-config.ts';
import type { RunConfig } from './config.ts';
import { flagsOf } from './setting.ts';

/** A line for each setting that changes nothing and has another value than it has by default. */
export function unusedSettings(algorithm: Algorithm, config: RunConfig): string[] {
  const { environment, algorithm: settings, loop } = config;
  const unused = algorithm.unused?.(settings) ?? [];
  const names = unused.flatMap((one) => one.names);
  const others = without(settings, new Set(names));
  const defaults = new Map(dotted(algorithm.defaults({ environment, algorithm: others, loop }).algorithm));
  const given = new Map(dotted(settings).filter(([, value]) => value !== undefined));
  const flags = new Map(flagsOf(algorithm.schemas.algorithm).map(({ path, flag }) => [path.join('.'), flag]));
  const isGiven = (name: string) =>
    given.has(name) && JSON.stringify(given.get(name)) !== JSON.stringify(defaults.get(name));
  const named = (name: string) => (flags.has(name) ? `${flags.get(name)!.split(' ')[0]} (${name})` : name);
  return unused.flatMap(({ by, names }) =>
    names.filter(isGiven).map((name) => `${by} does not use ${named(name)}: the setting changes nothing`),
  );
}

const without = (settings: object, names: ReadonlySet<string>, path: readonly string[] = []): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) => {
      const at = [...path, name];
      if (names.has(at.join('.'))) return [];
      return [[name, isRecord(value) ? without(value, names, at) : value]];
    }),
  );
