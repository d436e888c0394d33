/**
 * A user's own environment: a JavaScript file whose default export is a function that gives a `Task` (it gets the common
 * rules of episode.ts) or a whole `Env`. Nothing needs to be imported for that.
 */

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { invalidArgument, notFound } from '../contract/errors.ts';
import { contextSpecSchema, tensorSpecSchema } from '../contract/tensor-spec.ts';
import type { Env } from './env.ts';
import { createEnv, type Task } from './episode.ts';

/** True where a name is a path: `./my-env.js`, `/envs/pole.mjs`. */
export const isEnvFile = (name: string): boolean =>
  /^(\.{0,2}\/|[A-Za-z]:[\\/])/.test(name) || /\.(m?js|ts)$/.test(name);

/** What a Task may leave out in a file. */
type FileTask = Omit<Task, 'info' | 'tasks' | 'dispose'> & Partial<Pick<Task, 'info' | 'tasks' | 'dispose'>>;

const envMembers = ['reset', 'step', 'save', 'restore', 'dispose'] as const;
const taskMembers = ['begin', 'advance', 'observe', 'capture', 'reinstate'] as const;

/**
 * Loads a user's environment.
 * @param path relative to the working directory
 * @throws HyperpolicyError not_found: no such file; invalid_argument: it does not load, has no default function, or what
 *   that gives lacks a part of the contract
 */
export async function loadEnvFile(path: string): Promise<Env> {
  const file = resolve(path);
  if (!existsSync(file)) throw notFound({ where: 'environment', expected: `a file at ${file}`, actual: 'none' });
  const refuse = (expected: string, actual: string, cause?: unknown) =>
    invalidArgument({ where: path, expected, actual, cause });
  let create: unknown;
  try {
    create = ((await import(pathToFileURL(file).href)) as { default?: unknown }).default;
  } catch (cause) {
    throw refuse('a JavaScript module that loads', String(cause), cause);
  }
  if (typeof create !== 'function') {
    throw refuse('a default export that is a function', create === undefined ? 'none' : typeof create);
  }
  const made = (await create()) as Partial<Env & FileTask> | null | undefined;
  const isEnv = typeof made?.step === 'function';
  const missing = (isEnv ? envMembers : taskMembers).filter((member) => typeof made?.[member] !== 'function');
  if (made === null || made === undefined || missing.length > 0) {
    throw refuse(
      `an environment with ${(isEnv ? envMembers : taskMembers).join(', ')}`,
      `none of ${missing.join(', ')}`,
    );
  }
  checkSpecs(path, made);
  if (isEnv) return made as Env;
  const task = made as FileTask;
  if (task.specs.context !== null && typeof task.tasks?.draw !== 'function') {
    throw refuse('tasks with a draw function, as the specs have a context', String(task.tasks));
  }
  // Called as methods, so that a task may be an object of a class.
  return createEnv({
    name: task.name,
    specs: task.specs,
    episodeStepCountMax: task.episodeStepCountMax,
    stepDurationS: task.stepDurationS,
    info: task.info ?? {},
    tasks: task.tasks ?? null,
    begin: (random, context) => task.begin(random, context),
    advance: (action, outcome) => task.advance(action, outcome),
    observe: (observation) => task.observe(observation),
    capture: () => task.capture(),
    reinstate: (arrays) => task.reinstate(arrays),
    ...(task.scene !== undefined && { scene: () => task.scene!() }),
    dispose: () => task.dispose?.(),
  });
}

function checkSpecs(path: string, { name, specs, episodeStepCountMax, stepDurationS }: Partial<Env>): void {
  const refuse = (expected: string, actual: unknown) =>
    invalidArgument({ where: path, expected, actual: JSON.stringify(actual) ?? 'nothing' });
  if (typeof name !== 'string' || name === '') throw refuse('a name', name);
  if (!Number.isSafeInteger(episodeStepCountMax) || episodeStepCountMax! < 1) {
    throw refuse('episodeStepCountMax to be a positive integer', episodeStepCountMax);
  }
  if (!(stepDurationS! > 0)) throw refuse('stepDurationS to be a positive number', stepDurationS);
  for (const [part, schema] of [
    ['observation', tensorSpecSchema],
    ['action', tensorSpecSchema],
    ['context', contextSpecSchema.nullable()],
  ] as const) {
    const parsed = schema.safeParse(specs?.[part]);
    if (!parsed.success) {
      const issue = parsed.error.issues[0]!;
      throw refuse(`specs.${part} with names, low, high and units`, [issue.path.join('.'), issue.message].join(' '));
    }
  }
}
