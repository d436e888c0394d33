/**
 * Bearer tokens: the models that each may use, and how often. The file has hashes, so nobody learns a token by reading it. It is read
 * again when it changes.
 */

import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import { z } from 'zod';
import { issueText } from '../../src/contract/bounded.ts';
import { HyperpolicyError, invalidArgument, resourceExhausted } from '../../src/contract/errors.ts';
import { nearest } from '../../src/contract/nearest.ts';
import { parseWrittenJson } from '../../src/contract/written-json.ts';
import { type OnRead, readAndWatch } from '../../src/files/reread.ts';
import { createTokenRate, type TokenRate } from '../../src/pacing/token-rate.ts';
import type { Caller } from '../call/caller.ts';

const tokenSchema = z.strictObject({
  /** Unique: context handles and last actions are kept under this name. */
  name: z.string().min(1).max(100),
  /** SHA-256 of the token, hexadecimal. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** Names of models; `*` means all, `walker-*` means all whose name begins so. */
  models: z.array(z.string().min(1)).default(['*']),
  /** Calls and new streams per second, over all processes; as many may come at once. Absent: no limit. */
  requestsPerSecond: z.number().positive().optional(),
  /** May use the admin port. */
  admin: z.boolean().default(false),
});

type TokenEntry = z.infer<typeof tokenSchema>;

/** Rates of tokens, by the name of the token. */
export type Rates = {
  /** Counts requests that other processes accepted. */
  charge(spent: Readonly<Record<string, number>>): void;
  /** Requests that are left; below 0 if the processes together accepted too many. */
  left(): Record<string, number>;
  /** Starts with what another process had left. */
  goOnFrom(left: Readonly<Record<string, number>>): void;
};

export type Tokens = {
  readonly rates: Rates;
  /** @param authorization the header's value. @throws HyperpolicyError unauthenticated */
  identify(where: string, authorization: string | undefined): Caller;
  refresh(): boolean;
};

export type TokensOptions = {
  readonly onRead?: OnRead | undefined;
  /** Milliseconds, not going backwards. */
  readonly clock?: () => number;
  /** Called when a request of a token with a rate was accepted. */
  readonly onSpent?: ((name: string) => void) | undefined;
};

/** @throws HyperpolicyError invalid_argument if the file cannot be read, is not a list of tokens, or repeats a name or a hash */
export function openTokens(
  file: string,
  log: Logger,
  { clock = () => performance.now(), onSpent = () => {}, onRead }: TokensOptions = {},
): Tokens {
  /** Rates that a new version of the file does not change keep their counts. */
  let rates = new Map<string, TokenRate>();
  function parse([text]: readonly Buffer[]): ReadonlyMap<string, Caller> {
    const entries = entriesOf(text!.toString());
    const former = rates;
    rates = new Map();
    return new Map(
      entries.map((entry) => {
        const { name, sha256, requestsPerSecond: perSecond } = entry;
        if (perSecond === undefined) return [sha256, createCaller(entry)];
        const same = former.get(name);
        const rate = same?.perSecond === perSecond ? same : createTokenRate(perSecond, clock);
        rates.set(name, rate);
        return [sha256, createCaller(entry, { rate, onSpent })];
      }),
    );
  }

  const describe = (callers: ReadonlyMap<string, Caller>) => ({ tokenCount: callers.size });
  const callers = readAndWatch([file], { where: 'tokens file', name: 'tokens', parse, describe, log, onRead });
  return {
    refresh: callers.refresh,
    rates: {
      charge(spent) {
        for (const [name, count] of Object.entries(spent)) rates.get(name)?.charge(count);
      },
      left: () => Object.fromEntries([...rates].map(([name, { left }]) => [name, left])),
      goOnFrom(left) {
        for (const [name, rate] of rates) if (Object.hasOwn(left, name)) rate.left = left[name]!;
      },
    },
    identify(where, authorization) {
      const token = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1];
      const hash = token === undefined ? '' : createHash('sha256').update(token).digest('hex');
      const caller = callers.current.get(hash);
      if (caller !== undefined) return caller;
      throw new HyperpolicyError({
        kind: 'unauthenticated',
        where,
        expected: 'a header "authorization: Bearer TOKEN" with a known token',
        actual: authorization === undefined ? 'none' : 'another one',
      });
    },
  };
}

function entriesOf(text: string): readonly TokenEntry[] {
  try {
    const entries = z.array(tokenSchema).parse(parseWrittenJson(text));
    refuseRepeated('name', entries);
    refuseRepeated('sha256', entries);
    return entries;
  } catch (cause) {
    const issue = cause instanceof z.ZodError ? cause.issues[0]! : undefined;
    const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0]! : undefined;
    throw invalidArgument({
      where: 'tokens file',
      expected: 'a JSON list of { name, sha256, ... }, each name and hash once',
      actual: issue === undefined ? (cause as Error).message : issueText(issue),
      remedy: unknown === undefined ? undefined : `Did you mean ${nearest(unknown, Object.keys(tokenSchema.shape))}?`,
      cause,
    });
  }
}

/** Callers with the same name would share their handles; of two entries for one token only the last would count. */
function refuseRepeated(field: 'name' | 'sha256', entries: readonly TokenEntry[]): void {
  const seen = new Map<string, number>();
  entries.forEach((entry, i) => {
    const first = seen.get(entry[field]);
    if (first !== undefined) throw new Error(`${i}.${field}: the same as ${first}.${field}`);
    seen.set(entry[field], i);
  });
}

type Limit = { readonly rate: TokenRate; readonly onSpent: (name: string) => void };

function createCaller({ name, models, admin }: TokenEntry, limit?: Limit): Caller {
  return {
    name,
    admin,
    allowsModel: (model) =>
      models.some((pattern) => (pattern.endsWith('*') ? model.startsWith(pattern.slice(0, -1)) : model === pattern)),
    admit(where) {
      if (limit === undefined) return;
      const { rate, onSpent } = limit;
      if (!rate.take()) {
        throw resourceExhausted({
          where,
          expected: `at most ${rate.perSecond} requests per second with this token`,
          actual: 'one more',
          remedy: 'Retry later',
        });
      }
      onSpent(name);
    },
  };
}
