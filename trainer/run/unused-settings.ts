/** Settings that a person gave and that nothing reads, because of what else was chosen: the user hears of each, and no two runs differ in them. */

import type { Algorithm, GivenSettings } from './algorithm.ts';
import { dotted, withDefaults, without } from './complete-config.ts';
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

/**
 * A run's settings as they are, by their dotted names: with defaults where none are given, as in a config that an earlier version wrote, and
 * without those that nothing reads. Checks nothing.
 */
export function readSettings(algorithm: Algorithm, given: GivenSettings): Map<string, unknown> {
  const { environment, algorithm: settings, loop } = withDefaults(algorithm, given) as GivenSettings;
  const unread = new Set(algorithm.unused?.(settings).flatMap(({ names }) => names));
  const read = dotted({ environment, algorithm: without(settings, unread), loop });
  return new Map(read.filter(([, value]) => value !== undefined));
}
