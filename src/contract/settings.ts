/** Settings as zod types. Each says what it accepts, in words that follow "expected". The same words serve config files, flags and code. */

import { z } from 'zod';

export function integer(low: number, high: number): z.ZodNumber {
  const error = `an integer from ${low} to ${high}`;
  return z.number({ error }).int({ error }).min(low, { error }).max(high, { error });
}

export function numberFrom(low: number, high: number): z.ZodNumber {
  const error = `a number from ${low} to ${high}`;
  return z.number({ error }).min(low, { error }).max(high, { error });
}

export const text = (error = 'a text'): z.ZodString => z.string({ error }).min(1, { error });

export const yesOrNo = (): z.ZodBoolean => z.boolean({ error: 'true or false' });

export const oneOf = <const T extends readonly [string, ...string[]]>(names: T) =>
  z.enum(names, { error: `one of ${names.join(', ')}` });

const originRule =
  'a web origin: http or https, a host, a port where it is not the usual one, such as https://lab.example';

/** A web origin, kept as browsers write it: scheme and host in lower case, no default port, no path. @param error if it is no text */
export const webOrigin = (error: string) =>
  z.string({ error }).transform((given, context): string => {
    const url = URL.canParse(given) ? new URL(given) : undefined;
    if (url !== undefined && /^https?:\/\/[^/?#@\s]+\/?$/i.test(given)) return url.origin;
    context.addIssue({ code: 'custom', message: originRule });
    return z.NEVER;
  });

/** Bounds of a number, both included. */
export type Bounds = { readonly low: number; readonly high: number; readonly isInteger: boolean };

/** Undefined if the type is not a number. */
export const boundsOf = (type: z.ZodType): Bounds | undefined =>
  type instanceof z.ZodNumber
    ? { low: type.minValue!, high: type.maxValue!, isInteger: type.format === 'safeint' }
    : undefined;

/** The allowed words of a type; undefined if any text or number is allowed. */
export const choicesOf = (type: z.ZodType): readonly string[] | undefined =>
  type instanceof z.ZodEnum ? (type.options as string[]) : undefined;
