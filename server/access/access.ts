/** Access to a port: for everybody, for callers with a token, or for callers with an admin's token. */

import type { Logger } from 'pino';
import { HyperpolicyError } from '../../src/contract/errors.ts';
import type { Caller } from '../call/caller.ts';
import type { ServerConfig } from '../config.ts';
import { openTokens, type Rates, type Tokens, type TokensOptions } from './tokens.ts';

/** How often the tokens file is checked for a change. */
const tokensRefreshMs = 5000;

/** Who may call, by the `authorization` header of a call. The caller is undefined without tokens. */
export type Access = {
  /** Counts a request. @throws HyperpolicyError as `know`; resource_exhausted beyond the token's rate */
  admit(method: string, authorization: string | undefined): Caller | undefined;
  /** @throws HyperpolicyError unauthenticated; permission_denied for a token without admin rights on an admin's port */
  know(method: string, authorization: string | undefined): Caller | undefined;
  /** Calls back when the tokens have changed, for calls that last. @returns ends that */
  onChange(listener: () => void): () => void;
};

/** For health checks and for servers without tokens. */
export const openAccess: Access = { admit: () => undefined, know: () => undefined, onChange: () => () => {} };

const tokenAccess = (know: Tokens['identify'], listeners: Set<() => void>): Access => ({
  know,
  admit(method, authorization) {
    const caller = know(method, authorization);
    caller.admit(method);
    return caller;
  },
  onChange(listener) {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
});

/** As identify; throws permission_denied for a token without admin rights. */
function identifyAdmin(tokens: Tokens, method: string, authorization: string | undefined): Caller {
  const caller = tokens.identify(method, authorization);
  if (caller.admin) return caller;
  throw new HyperpolicyError({
    kind: 'permission_denied',
    where: method,
    expected: "an admin's token",
    actual: 'one that may only use models',
  });
}

/** Access to the ports of a process. */
export type Doors = {
  readonly serving: Access;
  readonly admin: Access;
  readonly rates: Rates;
  /** Stops reading the tokens file. */
  close(): void;
};

const noRates: Rates = { charge() {}, left: () => ({}), goOnFrom() {} };

/**
 * Access as the settings say. A tokens file is read again when it changes.
 * The listeners are as in TokensOptions.
 * @throws HyperpolicyError as openTokens
 */
export function openDoors(
  { tokensFile }: Pick<ServerConfig, 'tokensFile'>,
  log: Logger,
  { onSpent, onRead }: Pick<TokensOptions, 'onSpent' | 'onRead'> = {},
): Doors {
  if (tokensFile === null) return { serving: openAccess, admin: openAccess, rates: noRates, close() {} };
  const tokens = openTokens(tokensFile, log, { onSpent, onRead });
  const listeners = new Set<() => void>();
  const refresh = () => {
    if (tokens.refresh()) for (const tell of listeners) tell();
  };
  const timer = setInterval(refresh, tokensRefreshMs);
  timer.unref();
  return {
    serving: tokenAccess(tokens.identify, listeners),
    admin: tokenAccess((method, authorization) => identifyAdmin(tokens, method, authorization), listeners),
    rates: tokens.rates,
    close: () => clearInterval(timer),
  };
}
