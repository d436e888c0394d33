/** The safe actions of models, which GetModel tells, for `safe`. Kept for a bounded number of models. */

import { LruMap } from '../../src/contract/lru-map.ts';
import type { GetModelResponse } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { ModelSelection } from './request.ts';

type SafeAction = {
  readonly action: readonly number[];
  readonly version: number;
  readonly publishedAtMs: number;
  /** Of an observation. */
  readonly columns: number;
  readonly fingerprint: string;
};

export type SafeActions = {
  /** Asks for the safe action of a model, unless it is known; does not wait for it. */
  learn(selection: ModelSelection): void;
  find(selection: ModelSelection): SafeAction | undefined;
};

/** Models, each with its version or label. */
const countMax = 64;
/** Between two questions about the same model. */
const learnMsMin = 1000;

type Entry = { askedAtMs: number; known?: SafeAction };

/** @param describe asks the server */
export function createSafeActions(describe: (selection: ModelSelection) => Promise<GetModelResponse>): SafeActions {
  const entries = new LruMap<Entry>();
  const keyOf = ({ model, version, label }: ModelSelection) => JSON.stringify([model, version ?? label]);
  return {
    find: (selection) => entries.peek(keyOf(selection))?.known,
    learn(selection) {
      // A handle's model has no name to ask by.
      if (selection.model === '') return;
      const nowMs = performance.now();
      const key = keyOf(selection);
      const entry = entries.peek(key) ?? { askedAtMs: Number.NEGATIVE_INFINITY };
      if (entry.known !== undefined || nowMs - entry.askedAtMs < learnMsMin) return;
      entry.askedAtMs = nowMs;
      entries.set(key, entry);
      entries.evict(() => entries.size > countMax);
      describe(selection).then(
        ({ safeAction, version, publishedAt, observation, fingerprint }) => {
          const columns = observation!.names.length;
          entry.known = { action: safeAction, version, publishedAtMs: Date.parse(publishedAt), columns, fingerprint };
        },
        // It is asked for again; until it is known, the caller gets the error of its own request.
        () => {},
      );
    },
  };
}
