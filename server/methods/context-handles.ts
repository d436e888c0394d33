/** Context handles of requests: finds the version of a handle, and checks that caller and version may use it. */

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
import type { TaskDeps } from './task.ts';

/** Fields of every request that can have a context. */
export type HandleSelection = Selection & { readonly contextSource: ContextSource };

/** Needed by methods that compute. */
export type ComputeDeps = TaskDeps & { readonly handles: ContextHandles };

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
   * The version for a request. If the request has a handle and names no version, it is that of the handle. A request with a handle need
   * not name the model either.
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
    const isReplaced = versions.some(({ version }) => version === binding.version);
    throw failedPrecondition({
      where: `${method} context_handle`,
      expected: `a handle of a version of model "${model}" that is ready (${versions.map(({ version }) => version).join(', ')})`,
      actual: isReplaced ? ofEarlierPackage(binding) : `one of version ${binding.version}, which is gone`,
      remedy: 'Adapt again',
    });
  }

  /**
   * The state of a request's handle; undefined if it has no handle.
   * @throws HyperpolicyError not_found: unknown, expired or of another token; failed_precondition: of another model or version
   */
  find(method: string, served: ServedVersion, source: ContextSource, call: Call): HandleContext['state'] | undefined {
    if (source.case !== 'contextHandle') return undefined;
    const { binding, state } = this.#own(method, source.value, call);
    if (isOf(binding, served)) return state;
    const ofOther =
      binding.version === served.version ? ofEarlierPackage(binding) : `one of version ${binding.version}`;
    throw failedPrecondition({
      where: `${method} context_handle`,
      expected: `a handle of model "${served.model}" version ${served.version}`,
      actual: binding.model === served.model ? ofOther : 'one of another model',
      remedy: 'Name no version, or adapt again',
    });
  }

  /** Keeps a state for this caller and version. @returns its handle. Errors as HandleStore.put */
  put({ model, version, publishedAtMs }: ServedVersion, { caller }: Call, state: HandleContext['state']) {
    return this.#store.put({ binding: { model, version, publishedAtMs, caller: callerName(caller) }, state });
  }

  /** A handle of another token counts as unknown, so that nobody learns that it exists. */
  #own(method: string, handle: string, { caller }: Call): HandleContext {
    const found = this.#store.get(handle);
    if (found !== undefined && found.binding.caller === callerName(caller)) return found;
    const expected = 'a handle that this server holds';
    const where = `${method} context_handle`;
    if (!this.#store.isOfOtherServer(handle)) throw notFound({ where, expected, actual: 'an unknown or expired one' });
    const remedy = 'Send it with the hyperpolicy-routing-key of its Adapt, or adapt again';
    throw notFound({ where, expected, actual: 'one of another server, or of this one before it was started', remedy });
  }
}

/** The package was published again under its number. */
const ofEarlierPackage = ({ version }: Binding): string => `one of an earlier package of version ${version}`;

const isOf = (binding: Binding, { model, version, publishedAtMs }: ServedVersion): boolean =>
  binding.model === model && binding.version === version && binding.publishedAtMs === publishedAtMs;

/** The weights of a handle, in the form of generated weights. */
export const weightsOf = ({ block }: WeightsState): GeneratedWeights => ({ block, bytes: block.byteLength });
