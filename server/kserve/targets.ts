/** The names of the Open Inference Protocol: `M` is the policy of model M, `M.critic` its critic. */

import { failedPrecondition } from '../../src/contract/errors.ts';
import type { Call } from '../call/rpc.ts';
import type { ModelStore } from '../models/model-store.ts';
import type { Selection } from '../models/selection.ts';
import type { ServedVersion } from '../models/served-version.ts';

/** A policy or a critic of a version. */
export type Target = { readonly served: ServedVersion; readonly kind: 'policy' | 'critic' };

export type NamedTarget = Target & { readonly name: string };

export type Targets = {
  /**
   * @param method named in errors
   * @param version a number, a label, or empty
   * @throws HyperpolicyError as ModelStore.resolve; failed_precondition: the model has no such network
   */
  resolve(method: string, name: string, version: string, call: Call): Target;
  /** Everything that the caller may use. */
  list(call: Call): NamedTarget[];
  /** Ready versions of a model, newest first. */
  versionsOf(model: string): readonly ServedVersion[];
};

const criticSuffix = '.critic';

export function createTargets(models: ModelStore): Targets {
  return {
    resolve(method, name, version, call) {
      const { model, kind } = parseName(name, new Set(models.list().map((served) => served.model)));
      const served = models.resolve(method, { model, selection: selectionOf(version) }, call);
      if (served[kind] !== null) return { served, kind };
      throw failedPrecondition({
        where: `${method} model`,
        expected: `a model with a ${kind}`,
        actual: `"${model}", which has none`,
        ...(kind === 'policy' && { remedy: `Its critic is "${model}${criticSuffix}"` }),
      });
    },
    list({ caller }) {
      const allowed = models.list().filter(({ model }) => caller?.allowsModel(model) ?? true);
      return allowed.flatMap(({ versions }) => versions.flatMap(targetsOf));
    },
    versionsOf: (model) => models.list().find((served) => served.model === model)?.versions ?? [],
  };
}

/** A model may be called `X.critic` itself. */
function parseName(name: string, known: ReadonlySet<string>): { model: string; kind: Target['kind'] } {
  const model = name.slice(0, -criticSuffix.length);
  const isCritic = !known.has(name) && name.endsWith(criticSuffix) && known.has(model);
  return isCritic ? { model, kind: 'critic' } : { model: name, kind: 'policy' };
}

const targetsOf = (served: ServedVersion): NamedTarget[] => [
  ...(served.policy === null ? [] : [{ name: served.model, served, kind: 'policy' as const }]),
  ...(served.critic === null ? [] : [{ name: `${served.model}${criticSuffix}`, served, kind: 'critic' as const }]),
];

function selectionOf(version: string): Selection['selection'] {
  if (version === '') return { case: undefined };
  return /^\d+$/.test(version) ? { case: 'version', value: Number(version) } : { case: 'label', value: version };
}
