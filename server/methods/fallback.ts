/** Fallbacks of a late Act: the client's last action, the safe action, or an error. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { invalidArgument } from '../../src/contract/errors.ts';
import { LruMap } from '../../src/contract/lru-map.ts';
import { byNumber, type FallbackName, fallbacks } from '../../src/contract/words.ts';
import { type ActRequest, Fallback, type FallbackTakenSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call } from '../call/rpc.ts';
import type { ServedVersion } from '../models/served-version.ts';
import type { DueReason } from './due-time.ts';

export type FallbackReason = DueReason | 'overload';

export type FallbackAnswer = {
  readonly action: Float32Array; // [B, A]
  readonly taken: MessageInitShape<typeof FallbackTakenSchema> & { readonly reason: FallbackReason };
};

const names: Readonly<Record<number, FallbackName>> = { ...byNumber(fallbacks), [Fallback.UNSPECIFIED]: 'error' };

/** @throws HyperpolicyError invalid_argument: an unknown rule; `hold` without a client; a fallback without a deadline or budget */
export function fallbackOf({ fallback, clientId, budgetUs }: ActRequest, { deadlineMs }: Call): FallbackName {
  const name = names[fallback];
  const refuse = (expected: string, actual: string, remedy?: string) =>
    invalidArgument({ where: 'Act fallback', expected, actual, remedy });
  if (name === undefined) throw refuse('error, safe or hold (1, 2 or 3)', `${fallback}`);
  if (name === 'error') return name;
  if (budgetUs === 0 && deadlineMs === Number.POSITIVE_INFINITY) {
    throw refuse('a budget_us or a deadline with it', 'neither');
  }
  if (name === 'hold' && clientId === '') throw refuse('a client_id with hold', 'none', 'Name the client, or use safe');
  return name;
}

/** The client's last action for as many rows and the same specs if there is one, else the model's safe action. */
export function fallbackAnswer(
  reason: FallbackReason,
  { safeAction, actionSize }: ServedVersion,
  { rowCount, last }: { readonly rowCount: number; readonly last: LastAction | undefined },
): FallbackAnswer {
  if (last !== undefined) {
    const ageMs = performance.now() - last.servedAtMs;
    return { action: last.action, taken: { fallback: Fallback.HOLD, reason, ageMs } };
  }
  const action = Float32Array.from({ length: rowCount * actionSize }, (_, i) => safeAction[i % actionSize]!);
  return { action, taken: { fallback: Fallback.SAFE, reason, ageMs: 0 } };
}

export type LastAction = {
  readonly action: Float32Array; // [B, A]
  readonly rowCount: number;
  /** Of the specs of the version that served it: another version may have other actions. */
  readonly fingerprint: string;
  /** When it was served, on the clock of `performance.now()`. */
  readonly servedAtMs: number;
};

export type ActionOwner = {
  readonly model: string;
  /** Name of the caller's token; empty without tokens. */
  readonly caller: string;
  readonly clientId: string;
};

/** Larger batches are not kept, since no control loop sends them. */
const rowCountMax = 64;

/** The last action served to each client of each token and model, for `hold`. Bounded: the client that was served longest ago is dropped. */
export class LastActions {
  readonly #actions = new LruMap<LastAction>();
  readonly #countMax: number;

  constructor({ countMax }: { readonly countMax: number }) {
    this.#countMax = countMax;
  }

  get size(): number {
    return this.#actions.size;
  }

  /** The last action, if it is for as many rows and of the same specs. */
  get(
    whose: ActionOwner,
    { rowCount, fingerprint }: Pick<LastAction, 'rowCount' | 'fingerprint'>,
  ): LastAction | undefined {
    const found = this.#actions.peek(keyOf(whose));
    return found?.rowCount === rowCount && found.fingerprint === fingerprint ? found : undefined;
  }

  /** Keeps a copy. */
  put(whose: ActionOwner, last: LastAction): void {
    if (last.rowCount > rowCountMax) return;
    this.#actions.set(keyOf(whose), { ...last, action: last.action.slice() });
    this.#actions.evict(() => this.#actions.size > this.#countMax);
  }
}

/** Unambiguous for any three texts. */
const keyOf = ({ model, caller, clientId }: ActionOwner): string => JSON.stringify([model, caller, clientId]);
