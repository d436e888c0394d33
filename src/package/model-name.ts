/** Names of models. */

import { invalidArgument } from '../contract/errors.ts';

export const modelNameLengthMax = 64;
const pattern = /^[a-z0-9][a-z0-9._-]{0,63}$/;

export const modelNameRule = `1 to ${modelNameLengthMax} of a-z 0-9 . _ - and a letter or digit first`;

export const isModelName = (name: string): boolean => pattern.test(name);

/**
 * Checks a model name: 1 to 64 of `a-z 0-9 . _ -`, the first a letter or digit.
 * @throws HyperpolicyError invalid_argument
 */
export function checkModelName(model: string): void {
  if (isModelName(model)) return;
  throw invalidArgument({
    where: 'model name',
    expected: modelNameRule,
    actual: JSON.stringify(model),
  });
}
