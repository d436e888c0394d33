/** Access to a port: for everybody, for callers with a token, or for callers with an admin's token. */

import type { Logger } from 'pino';
import { HyperpolicyError } from '../../src/contract/errors.ts';
import type { Caller } from '../call/caller.ts';
import type { ServerConfig } from '../config.ts';
import { openTokens, type Rates, type Tokens, type TokensOptions } from './tokens.ts';

/** How often the tokens file is checked for a change. */
const tokensRefreshMs = 5000;

/** The caller by the `authorization` header of a call; undefined without tokens. */
export type Access = (method: string, authorization: string | undefined) => Caller | undefined;

/** For health checks and for servers without tokens. */
export const openAccess: Access = () => undefined;

/** @throws HyperpolicyError unauthenticated; resource_exhausted beyond the token's rate */
const tokenAccess =
  (tokens: Tokens): Access =>
  (method, authorization) => {
    const caller = tokens.identify(method, authorization);
    caller.admit(method);
    return caller;
  };

/** @throws HyperpolicyError as tokenAccess; permission_denied for a token without admin rights */
const adminAccess = (tokens: Tokens): Access => {
  const admit = tokenAccess(tokens);
  return (method, authorization) => {
    const caller = admit(method, authorization);
    if (caller?.admin === true) return caller;
    throw new HyperpolicyError({
      kind: 'permission_denied',
      where: method,
      expected: "an admin's token",
      actual: 'one that may only use models',
    });
  };
};

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
  const timer = setInterval(tokens.refresh, tokensRefreshMs);
  timer.unref();
  return {
    serving: tokenAccess(tokens),
    admin: adminAccess(tokens),
    rates: tokens.rates,
    close: () => clearInterval(timer),
  };
}
