/** Models with their versions as options name them. */

import { InvalidArgumentError, Option } from 'commander';
import { versionMax } from '../../src/package/manifest.ts';
import type { VersionChoice } from '../../trainer/analysis/model-versions.ts';

/** `--model`: one or more of `name`, `name@3` or `name@3,5,9`. */
export const createModelsOption = (): Option =>
  new Option('--model <name...>', 'models with their versions, all unless given: my-cheetah, or my-cheetah@3 or @3,5,9')
    .argParser((text: string, before: readonly VersionChoice[] = []) => [...before, parseChoice(text)])
    .makeOptionMandatory();

function parseChoice(text: string): VersionChoice {
  const [, model, list] = /^([^@]+)(?:@(\d+(?:,\d+)*))?$/.exec(text) ?? [];
  const versions = list?.split(',').map(Number);
  if (model === undefined || versions?.some((version) => version < 1 || version > versionMax)) {
    throw new InvalidArgumentError(
      'Expected a model, or a model with versions, such as my-cheetah@3 or my-cheetah@3,5,9',
    );
  }
  return { model, versions };
}

/** One version: `name@3`, or `name` for the newest. */
export function parseVersion(text: string): VersionChoice {
  const choice = parseChoice(text);
  if ((choice.versions?.length ?? 1) === 1) return choice;
  throw new InvalidArgumentError('Expected a model, or a model with one version, such as my-cheetah@3');
}
