/** Who calls, once a token is known (see access/): the name that its state is kept under, and the models that it may use. */

import { HyperpolicyError, quoted } from '../../src/contract/errors.ts';

export type Caller = {
  readonly name: string;
  readonly admin: boolean;
  allowsModel(model: string): boolean;
  /** Counts a request. @throws HyperpolicyError resource_exhausted over the token's rate */
  admit(where: string): void;
};

/** Keeps the handles and last actions of callers apart; empty where there are no tokens. */
export const callerName = (caller: Caller | undefined): string => caller?.name ?? '';

/** @throws HyperpolicyError permission_denied where a caller with a token may not use the model */
export function checkModelAllowed(where: string, caller: Caller | undefined, model: string): void {
  if (caller === undefined || caller.allowsModel(model)) return;
  throw new HyperpolicyError({
    kind: 'permission_denied',
    where: `${where} model`,
    expected: 'a model that this token may use',
    actual: quoted(model),
  });
}
