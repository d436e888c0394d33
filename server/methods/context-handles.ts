/** Context handles as requests use them: which version a handle goes to, and whether this caller and this version may use it. */

import { failedPrecondition, notFound } from '../../src/contract/errors.ts';
import { callerName } from '../call/caller.ts';
import type { Call } from '../call/rpc.ts';
import type { Binding, HandleContext, WeightsState } from '../handles/handle-context.ts';
import type { HandleStore } from '../handles/handle-store.ts';
import type { ModelStore } from '../models/model-store.ts';
import type { Selection } from '../models/selection.ts';
import type { ServedVersion } from '../models/served-version.ts';
import type { GeneratedWeights } from '../weights/generated-weights.ts';
import type { ContextSource } from './request-checks.ts';

/** What every request with a context has. */
export type HandleSelection = Selection & { readonly contextSource: ContextSource };

export class ContextHandles {
  readonly timeToLiveMs: number;
  readonly #models: ModelStore;
  readonly #store: HandleStore;

  constructor(models: ModelStore, store: HandleStore) {
    this.timeToLiveMs = store.timeToLiveMs;
    this.#models = models;
    this.#store = store;
  }

  /**
   * The version for a request: that of its handle where it has one and names no version. A request with a handle may leave the model
   * out as well.
   * @throws HyperpolicyError as ModelStore.resolve; not_found: an unknown handle; failed_precondition: its version is gone
   */
  resolve(method: string, request: HandleSelection, call: Call): ServedVersion {
    const { contextSource, selection } = request;
    if (contextSource.case !== 'contextHandle') return this.#models.resolve(method, request, call);
    const model = request.model || this.#own(method, contextSource.value, call).binding.model;
    // Also checks that the caller may use the model.
    const chosen = this.#models.resolve(method, { ...request, model }, call);
    if (selection.case !== undefined) return chosen;
    const { binding } = this.#own(method, contextSource.value, call);
    if (binding.model !== model || isOf(binding, chosen)) return chosen;
    const versions = this.#models.list().find((other) => other.model === model)?.versions ?? [];
    const served = versions.find((version) => isOf(binding, version));
    if (served !== undefined) return served;
    throw failedPrecondition({
      where: `${method} context_handle`,
      expected: `a handle of a version of model "${model}" that is ready (${versions.map(({ version }) => version).join(', ')})`,
      actual: `one of version ${binding.version}, which is gone`,
      remedy: 'Adapt again',
    });
  }

  /**
   * What the handle of a request stands for; undefined where it has none.
   * @throws HyperpolicyError not_found: unknown, expired or of another token; failed_precondition: of another model or version
   */
  find(method: string, served: ServedVersion, source: ContextSource, call: Call): HandleContext['state'] | undefined {
    if (source.case !== 'contextHandle') return undefined;
    const { binding, state } = this.#own(method, source.value, call);
    if (isOf(binding, served)) return state;
    throw failedPrecondition({
      where: `${method} context_handle`,
      expected: `a handle of model "${served.model}" version ${served.version}`,
      actual: binding.model === served.model ? `one of version ${binding.version}` : 'one of another model',
      remedy: 'Name no version, or adapt again',
    });
  }

  /** Keeps a state for this caller and version, and names it. Errors as HandleStore.put. */
  put({ model, version, publishedAtMs }: ServedVersion, { caller }: Call, state: HandleContext['state']) {
    return this.#store.put({ binding: { model, version, publishedAtMs, caller: callerName(caller) }, state });
  }

  /** A handle of another token counts as unknown, so that nobody learns of it. */
  #own(method: string, handle: string, { caller }: Call): HandleContext {
    const found = this.#store.get(handle);
    if (found !== undefined && found.binding.caller === callerName(caller)) return found;
    const expected = 'a handle that this server holds';
    throw notFound({ where: `${method} context_handle`, expected, actual: 'an unknown or expired one' });
  }
}

const isOf = (binding: Binding, { model, version, publishedAtMs }: ServedVersion): boolean =>
  binding.model === model && binding.version === version && binding.publishedAtMs === publishedAtMs;

/** The weights of a handle, as a primary would give them. */
export const weightsOf = ({ block }: WeightsState): GeneratedWeights => ({ block, bytes: block.byteLength });
