/** The caller of a request, known by its token (access/): the name under which its state is kept, and the models that it may use. */

import { HyperpolicyError, quoted } from '../../src/contract/errors.ts';

export type Caller = {
  readonly name: string;
  readonly admin: boolean;
  allowsModel(model: string): boolean;
  /** Counts a request. @throws HyperpolicyError resource_exhausted over the token's rate */
  admit(where: string): void;
};

/** The name under which a caller's handles and last actions are kept; empty without tokens. */
export const callerName = (caller: Caller | undefined): string => caller?.name ?? '';

/** Without tokens everybody may use every model. */
export const mayUse = (caller: Caller | undefined, model: string): boolean => caller?.allowsModel(model) ?? true;

/** @throws HyperpolicyError permission_denied if the caller's token does not allow the model */
export function checkModelAllowed(where: string, caller: Caller | undefined, model: string): void {
  if (mayUse(caller, model)) return;
  throw new HyperpolicyError({
    kind: 'permission_denied',
    where: `${where} model`,
    expected: 'a model that this token may use',
    actual: quoted(model),
  });
}
