/** Who is let in on a port: nobody is asked, everybody needs a token, or everybody needs an admin's. */

import { HyperpolicyError } from '../src/spec/errors.ts';
import type { Caller, Tokens } from './tokens.ts';

/** Decides on the `authorization` header of a call; undefined where callers are not told apart. */
export type Access = (method: string, authorization: string | undefined) => Caller | undefined;

/** For health checks, and for servers without tokens. */
export const openAccess: Access = () => undefined;

/** @throws HyperpolicyError unauthenticated; resource_exhausted over the token's rate */
export const tokenAccess =
  (tokens: Tokens): Access =>
  (method, authorization) => {
    const caller = tokens.identify(method, authorization);
    caller.admit(method);
    return caller;
  };

/** @throws HyperpolicyError as tokenAccess; permission_denied for a token that is no admin's */
export const adminAccess = (tokens: Tokens): Access => {
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
