/**
 * A user's own environment: a JavaScript file whose default export is a function that gives a `Task` (it gets the common
 * rules of episode.ts) or a whole `Env`. Nothing needs to be imported for that. What it gives is checked at every call.
 */

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkSpecBounds } from '../contract/bounds.ts';
import { HyperpolicyError, invalidArgument, notFound } from '../contract/errors.ts';
import { contextSpecSchema, tensorSpecSchema } from '../contract/tensor-spec.ts';
import { checkedEnv } from './checked-env.ts';
import { checkedTask, type FileTask } from './checked-task.ts';
import type { Env } from './env.ts';
import { createEnv } from './episode.ts';
import { unparsedPlace } from './unparsed-place.ts';
import { createUserCode, shown, thrownText } from './user-code.ts';
import { enterMember, leaveMember } from './user-code-trail.ts';

/** True if a name is a path: `./my-env.js`, `/envs/pole.mjs`. */
export const isEnvFile = (name: string): boolean =>
  /^(\.{0,2}\/|[A-Za-z]:[\\/])/.test(name) || /\.(m?js|ts)$/.test(name);

const envMembers = ['reset', 'step', 'save', 'restore', 'dispose'] as const;
const taskMembers = ['begin', 'advance', 'observe', 'capture', 'reinstate'] as const;

/**
 * Loads a user's environment.
 * @param path relative to the working directory
 * @throws HyperpolicyError not_found: no such file; invalid_argument: it does not load, has no default function, or what
 *   that gives lacks a part of the contract. Later calls throw invalid_argument if the file throws or gives what cannot be.
 */
export async function loadEnvFile(path: string): Promise<Env> {
  const file = resolve(path);
  if (!existsSync(file)) throw notFound({ where: 'environment', expected: `a file at ${file}`, actual: 'none' });
  const made = await make(path, file);
  enterMember('its default export');
  try {
    // Reading may run code of the file, too.
    return checked(path, file, made);
  } catch (cause) {
    if (cause instanceof HyperpolicyError) throw cause;
    throw refusal(path, madeExpected, thrownText(cause, file), cause);
  } finally {
    leaveMember();
  }
}

type Made = Partial<Env & FileTask> | null | undefined;

const madeExpected = 'a default export that makes an environment';

const refusal = (path: string, expected: string, actual: string, cause?: unknown) =>
  invalidArgument({ where: path, expected, actual, cause });

/** What it made, behind the checks of every call. */
function checked(path: string, file: string, made: Made): Env {
  const isEnv = typeof made?.step === 'function';
  const missing = (isEnv ? envMembers : taskMembers).filter((member) => typeof made?.[member] !== 'function');
  if (typeof made !== 'object' || made === null || missing.length > 0) {
    throw refusal(
      path,
      `an environment with ${(isEnv ? envMembers : taskMembers).join(', ')}`,
      `none of ${missing.join(', ')}`,
    );
  }
  checkSpecs(path, made);
  const code = createUserCode(path, file);
  if (isEnv) return checkedEnv(made as Env, code);
  const task = made as FileTask;
  return createEnv(checkedTask(task, code));
}

/** What the default export of the file makes. */
async function make(path: string, file: string): Promise<Made> {
  let create: unknown;
  enterMember('its module');
  try {
    create = ((await import(pathToFileURL(file).href)) as { default?: unknown }).default;
  } catch (cause) {
    hearAgain(cause);
    const findPlace = (stack: string) => (cause instanceof SyntaxError ? unparsedPlace(file, stack) : undefined);
    throw refusal(path, 'a JavaScript module that loads', thrownText(cause, file, findPlace), cause);
  } finally {
    leaveMember();
  }
  if (typeof create !== 'function') {
    throw refusal(path, 'a default export that is a function', create === undefined ? 'none' : typeof create);
  }
  enterMember('its default export');
  try {
    return (await create()) as Made;
  } catch (cause) {
    throw refusal(path, madeExpected, thrownText(cause, file), cause);
  } finally {
    leaveMember();
  }
}

/** Node 20 rejects twice with what a CommonJS file throws as it is imported. The second time nobody hears it, which ends the process. */
function hearAgain(cause: unknown): void {
  const hear = (reason: unknown) => {
    // Nobody hears another one now, so Node tells it with its own place.
    if (reason !== cause) void Promise.reject(reason);
  };
  process.once('unhandledRejection', hear);
  setImmediate(() => process.off('unhandledRejection', hear));
}

function checkSpecs(path: string, { name, specs, episodeStepCountMax, stepDurationS }: Partial<Env>): void {
  const refuse = (expected: string, actual: unknown) =>
    invalidArgument({ where: path, expected, actual: shown(actual) });
  if (typeof name !== 'string' || name === '') throw refuse('a name', name);
  if (!Number.isSafeInteger(episodeStepCountMax) || episodeStepCountMax! < 1) {
    throw refuse('episodeStepCountMax to be a positive integer', episodeStepCountMax);
  }
  if (!(typeof stepDurationS === 'number' && stepDurationS > 0 && Number.isFinite(stepDurationS)))
    throw refuse('stepDurationS to be a positive number', stepDurationS);
  for (const [part, schema] of [
    ['observation', tensorSpecSchema],
    ['action', tensorSpecSchema],
    ['context', contextSpecSchema.nullable()],
  ] as const) {
    const parsed = schema.safeParse(specs?.[part]);
    if (!parsed.success) {
      const issue = parsed.error.issues[0]!;
      const actual = [issue.path.join('.'), issue.message].join(' ').trim();
      throw invalidArgument({ where: path, expected: `specs.${part} with names, low, high and units`, actual });
    }
  }
  checkSpecBounds(`${path} specs`, specs as Env['specs']);
}
