/**
 * Who may call: bearer tokens with the models that each may use and how often. The file holds hashes, so that reading it gives
 * nobody a token; it is read again when it changes.
 */

import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { Logger } from 'pino';
import { z } from 'zod';
import { HyperpolicyError, invalidArgument, resourceExhausted } from '../src/spec/errors.ts';

const tokensSchema = z.array(
  z.strictObject({
    /** Who it is: held contexts and actions go by it, so each is named once. */
    name: z.string().min(1).max(100),
    /** SHA-256 of the token, hexadecimal. */
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    /** Names of models; `*` is all, a trailing `*` any with that beginning. */
    models: z.array(z.string().min(1)).default(['*']),
    /** Calls and stream openings per second, with a burst of as many; absent is no limit. */
    requestsPerSecond: z.number().positive().optional(),
    /** May use the admin port. */
    admin: z.boolean().default(false),
  }),
);

type TokenEntry = z.infer<typeof tokensSchema>[number];

/** A caller whose token is known. */
export type Caller = {
  readonly name: string;
  readonly admin: boolean;
  allowsModel(model: string): boolean;
  /** Counts a request. @throws HyperpolicyError resource_exhausted over the token's rate */
  admit(where: string): void;
};

export type Tokens = {
  /** @param authorization the header's value. @throws HyperpolicyError unauthenticated */
  identify(where: string, authorization: string | undefined): Caller;
  /** Reads the file again where it has changed; keeps what it has where the file is bad. */
  refresh(): void;
};

/** @throws HyperpolicyError invalid_argument where the file cannot be read, is not a list of tokens, or repeats a name or a hash */
export function openTokens(file: string, log: Logger, clock: () => number = () => performance.now()): Tokens {
  let readAtMs = modifiedMs(file);
  let callers = readCallers(file, clock);
  return {
    identify(where, authorization) {
      const token = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1];
      const caller = token === undefined ? undefined : callers.get(createHash('sha256').update(token).digest('hex'));
      if (caller !== undefined) return caller;
      throw new HyperpolicyError({
        kind: 'unauthenticated',
        where,
        expected: 'a header "authorization: Bearer TOKEN" with a known token',
        actual: authorization === undefined ? 'none' : 'another one',
      });
    },
    refresh() {
      const changedMs = modifiedMs(file);
      if (changedMs === readAtMs) return;
      readAtMs = changedMs;
      try {
        callers = readCallers(file, clock);
        log.info({ tokenCount: callers.size }, 'tokens read again');
      } catch (error) {
        log.error({ reason: (error as Error).message }, 'tokens refused; the former ones hold');
      }
    },
  };
}

function modifiedMs(file: string): number {
  try {
    return statSync(file).mtimeMs;
  } catch {
    return 0;
  }
}

function readCallers(file: string, clock: () => number): ReadonlyMap<string, Caller> {
  try {
    const entries = tokensSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
    refuseRepeated('name', entries);
    refuseRepeated('sha256', entries);
    return new Map(entries.map((entry) => [entry.sha256, createCaller(entry, clock)]));
  } catch (cause) {
    const reason =
      cause instanceof z.ZodError
        ? `${cause.issues[0]!.path.join('.')}: ${cause.issues[0]!.message}`
        : (cause as Error).message;
    throw invalidArgument({
      where: 'tokens file',
      expected: 'a JSON list of { name, sha256, ... }, each name and hash once',
      actual: reason,
      cause,
    });
  }
}

/** Callers of one name would share what is held for them; of one token only the last would count. */
function refuseRepeated(field: 'name' | 'sha256', entries: readonly TokenEntry[]): void {
  const seen = new Map<string, number>();
  entries.forEach((entry, i) => {
    const first = seen.get(entry[field]);
    if (first !== undefined) throw new Error(`${i}.${field}: the same as ${first}.${field}`);
    seen.set(entry[field], i);
  });
}

function createCaller({ name, models, requestsPerSecond, admin }: TokenEntry, clock: () => number): Caller {
  let allowance = requestsPerSecond ?? 0;
  let countedAtMs = clock();
  return {
    name,
    admin,
    allowsModel: (model) =>
      models.some((pattern) => (pattern.endsWith('*') ? model.startsWith(pattern.slice(0, -1)) : model === pattern)),
    admit(where) {
      if (requestsPerSecond === undefined) return;
      const nowMs = clock();
      const burst = Math.max(1, requestsPerSecond);
      allowance = Math.min(burst, allowance + ((nowMs - countedAtMs) / 1000) * requestsPerSecond);
      countedAtMs = nowMs;
      if (allowance < 1) {
        throw resourceExhausted({
          where,
          expected: `at most ${requestsPerSecond} requests per second with this token`,
          actual: 'one more',
          remedy: 'Retry later',
        });
      }
      allowance -= 1;
    },
  };
}

/** What tells a caller's things from another's; empty where callers are not told apart. */
export const callerName = (caller: Caller | undefined): string => caller?.name ?? '';

/** @throws HyperpolicyError permission_denied; callers are only checked where tokens are asked for */
export function checkModelAllowed(where: string, caller: Caller | undefined, model: string): void {
  if (caller === undefined || caller.allowsModel(model)) return;
  throw new HyperpolicyError({
    kind: 'permission_denied',
    where: `${where} model`,
    expected: 'a model that this token may use',
    actual: JSON.stringify(model.slice(0, 100)),
  });
}
