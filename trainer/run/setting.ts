/**
 * Settings as zod types. Each says what it accepts, in words that follow "expected", and may have a flag with its help. The
 * same declaration serves config files, flags and code.
 */

import { z } from 'zod';
import { integer as integerFrom } from '../../src/contract/settings.ts';
import { writtenNumber } from '../../src/contract/written-number.ts';

export { oneOf, text, yesOrNo } from '../../src/contract/settings.ts';

export type SettingHelp = {
  /** In the form of commander, e.g. `--batch-size <rows>`. A setting without a flag is set in a config file, or by its dotted name. */
  readonly flag?: string;
  readonly help: string;
  /** The default in words, if it depends on other settings. */
  readonly defaultText?: string;
};

const helps = z.registry<SettingHelp>();

/** Gives a type its help and its flag. */
export const setting = <T extends z.ZodType>(type: T, help: SettingHelp): T => {
  helps.add(type, help);
  return type;
};

/** A larger count must be a mistake: no run has that many steps. */
const largeCount = 2 ** 31 - 1;

export const integer = (low: number, high = largeCount): z.ZodNumber => integerFrom(low, high);

/** An update of more rows needs more memory than machines have. */
const batchRowsMax = 100_000;

/** Rows of a batch. */
export const batchRows = (): z.ZodNumber => integer(1, batchRowsMax);

/** Seeds stay safe integers with the offsets that streams of their own add. */
const seedMax = Number.MAX_SAFE_INTEGER - 1_000_000;

/** The seed of a run, with its flag. */
export const seedSetting = () =>
  setting(integer(0, seedMax), {
    flag: '--seed <number>',
    help: 'seed of everything random; equal seeds give equal runs. Evaluations use seed + 100',
  });

/** Above 0 and at most 1. */
export const rate = (): z.ZodNumber => positive(1);

/** The discount of an algorithm, from 0 up to, but not including, 1, with its flag. */
export const discountSetting = () =>
  setting(
    bounded('a number of at least 0 and below 1', (value) => value >= 0 && value < 1),
    { flag: '--gamma <factor>', help: 'discount of the reward per step' },
  );

export const atLeast = (low: number): z.ZodNumber => bounded(`a number of at least ${low}`, (value) => value >= low);

export const positive = (high = Infinity): z.ZodNumber =>
  bounded(`a number above 0${high === Infinity ? '' : ` and at most ${high}`}`, (value) => value > 0 && value <= high);

export const anyNumber = (): z.ZodNumber => bounded('a finite number', () => true);

function bounded(error: string, fits: (value: number) => boolean): z.ZodNumber {
  return z.number({ error }).refine((value) => Number.isFinite(value) && fits(value), { error });
}

const widthMax = 65_536;

/** Widths of layers, from input to output. */
export function widths() {
  const error = `widths of 1 to ${widthMax}`;
  const fits = (list: readonly number[]) =>
    list.length > 0 && list.every((width) => Number.isSafeInteger(width) && width > 0 && width <= widthMax);
  return z.array(z.number({ error }), { error }).refine(fits, { error }).readonly();
}

/** Steps of a run. */
export function steps() {
  const error = `steps from 1 to ${largeCount}`;
  return z
    .array(z.number({ error }).int({ error }).min(1, { error }).max(largeCount, { error }), { error })
    .min(1, { error })
    .readonly();
}

/** Finite numbers; their number is checked where it is known. */
export function numbers() {
  const error = 'finite numbers';
  return z.array(anyNumber(), { error }).readonly();
}

/** Dotted names of a group's settings. @param shape of the group's schema */
export const namesIn = (group: string, shape: object): string[] => Object.keys(shape).map((name) => `${group}.${name}`);

/** A setting that a text gives. */
export type TextSetting = {
  /** Names from the schema's top to the setting. */
  readonly path: readonly string[];
  /** Only if the value is one of a few. */
  readonly choices?: readonly string[] | undefined;
  /** The value of a text, or what was expected instead. */
  readonly parse: (text: string) => { readonly value: unknown } | { readonly expected: string };
};

/** One setting that has a flag. */
export type Flag = SettingHelp & TextSetting & { readonly flag: string };

/** The flags of a schema, in the order of its settings. */
export const flagsOf = (schema: z.ZodObject, path: readonly string[] = []): Flag[] =>
  settingsOf(schema, path).flatMap((one) => {
    const { help } = one;
    return help?.flag === undefined ? [] : [{ ...help, flag: help.flag, ...textSetting(one) }];
  });

/** The settings of a schema that have no flag, by their dotted names. */
export const flaglessOf = (schema: z.ZodObject, path: readonly string[] = []): [name: string, TextSetting][] =>
  settingsOf(schema, path).flatMap((one): [string, TextSetting][] =>
    one.help?.flag === undefined ? [[one.path.join('.'), textSetting(one)]] : [],
  );

const textSetting = ({ path, type, choices }: Setting): TextSetting => ({
  ...{ path, choices },
  parse: (given) => parseText(type, given),
});

export type Setting = {
  readonly path: readonly string[];
  readonly type: z.ZodType;
  readonly help: SettingHelp | undefined;
  /** Only if the value is one of a few. */
  readonly choices: readonly string[] | undefined;
};

/** Every setting of a schema that is not a group of others. */
export const settingsOf = (schema: z.ZodObject, path: readonly string[] = []): Setting[] =>
  Object.entries(schema.shape).flatMap(([name, type]) => {
    const at = [...path, name];
    const { inner, help } = unwrapped(type as z.ZodType);
    if (inner instanceof z.ZodObject) return settingsOf(inner, at);
    const choices = inner instanceof z.ZodEnum ? (inner.options as string[]) : undefined;
    return [{ path: at, type: type as z.ZodType, help, choices }];
  });

/** The type inside `optional` and `readonly`. The help may be on any of the three. */
function unwrapped(type: z.ZodType): { inner: z.ZodType; help: SettingHelp | undefined } {
  let inner = type;
  let help = helps.get(inner);
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodReadonly) {
    inner = inner.unwrap() as z.ZodType;
    help ??= helps.get(inner);
  }
  return { inner, help };
}

function parseText(type: z.ZodType, given: string): ReturnType<TextSetting['parse']> {
  const { inner } = unwrapped(type);
  const isList = inner instanceof z.ZodArray;
  const value = isList
    ? given.split(',').map(writtenNumber)
    : inner instanceof z.ZodNumber
      ? writtenNumber(given)
      : inner instanceof z.ZodBoolean
        ? (new Map([
            ['true', true],
            ['false', false],
          ]).get(given) ?? given)
        : given;
  const result = type.safeParse(value);
  if (result.success) return { value: result.data };
  const expected = result.error.issues[0]!.message;
  return { expected: isList ? `${expected} with commas between: 256,512,1024` : expected };
}
