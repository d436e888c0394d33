/** The defaults that the help of `train` shows. They take an algorithm's defaults beside each choice and environment, so only who shows them asks. */

import { environmentNames } from '../../src/envs/registry.ts';
import type { Algorithm } from './algorithm.ts';
import { merged } from './complete-config.ts';
import type { GivenConfig } from './config.ts';
import { nested, settingFlags } from './given-settings.ts';
import type { Flag } from './setting.ts';

export type ShownFlag = Flag & {
  /** The default in the help; undefined if there is none. */
  readonly shown: string | undefined;
};

/** {@link settingFlags}, with what the help says of the default of each. */
export function shownFlags(algorithm: Algorithm): ShownFlag[] {
  const flags = settingFlags(algorithm);
  const plain = defaultsBeside(algorithm, {});
  const changes = changesOf(algorithm, flags, plain);
  return flags.map((flag) => ({ ...flag, shown: shownDefault(flag, plain, changes) }));
}

type Defaults = Pick<Algorithm, 'defaults' | 'environmentDefault'>;

/** An algorithm's defaults where these settings are given. */
function defaultsBeside({ defaults, environmentDefault }: Defaults, given: GivenConfig): GivenConfig {
  const settings = { environment: environmentDefault, algorithm: {}, loop: {}, ...given };
  return { environment: settings.environment, ...defaults(settings) };
}

/** A choice that a flag offers: the defaults without it and with it. */
type Change = {
  readonly path: Flag['path'];
  readonly name: string;
  readonly before: GivenConfig;
  readonly after: GivenConfig;
};

/** Those of environments, and beside each of these those of the other flags: some defaults change in some environments only. */
function changesOf(algorithm: Defaults, flags: readonly Flag[], plain: GivenConfig): Change[] {
  const beside = environmentNames.map((environment) => defaultsBeside(algorithm, { environment }));
  const ofEnvironments = beside.map((after) => ({ path: ['environment'], name: '--env', before: plain, after }));
  // Many environments have the same ones.
  const distinct = new Map(beside.map((one) => [JSON.stringify({ ...one, environment: '' }), one]));
  const choices = flags.filter(({ path }) => path[0] === 'algorithm');
  const others = [...distinct.values()].flatMap((before) =>
    choices.flatMap(({ flag, path, choices: values = [] }) =>
      values.map((value) => {
        const given = merged({ environment: before.environment }, nested([{ flag, path, value }]));
        return { path, name: flag.split(' ')[0]!, before, after: defaultsBeside(algorithm, given) };
      }),
    ),
  );
  return [...ofEnvironments, ...others];
}

/** The default of a run without other flags, and the flags that change it. A setting's own words for one that changes say all. */
function shownDefault({ path, defaultText }: Flag, plain: GivenConfig, changes: readonly Change[]): string | undefined {
  // Of a setting that a run without other flags does not read, the default beside a choice that does.
  const value = [plain, ...changes.map(({ after }) => after)].map((one) => valueText(one, path)).find(Boolean);
  if (defaultText !== undefined && value !== undefined) return defaultText;
  const isOther = (change: Change) => change.path.join() !== path.join();
  // A choice that does not read the setting has no other default for it.
  const isChanged = ({ before, after }: Change) => {
    const [old, given] = [valueText(before, path), valueText(after, path)];
    return old !== undefined && given !== undefined && old !== given;
  };
  const names = changes.filter((change) => isOther(change) && isChanged(change)).map(({ name }) => name);
  const changed = names.length === 0 ? [] : [`changes with ${[...new Set(names)].join(', ')}`];
  const parts = [defaultText ?? value ?? [], changed].flat();
  return parts.length === 0 ? undefined : parts.join('; ');
}

/** As a person gives it. */
function valueText(settings: GivenConfig, path: readonly string[]): string | undefined {
  const value = path.reduce<unknown>((at, name) => (at as GivenConfig | undefined)?.[name], settings);
  return value === undefined ? undefined : String(value);
}
