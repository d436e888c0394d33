/**
 * Checkpoints of a run: `<directory>/<step>/` has two files. `arrays.bin` holds the bytes of all arrays one after the other,
 * little-endian. `checkpoint.json` holds the state, the name, type, length and SHA-256 of each array, and its own SHA-256. A checkpoint is
 * written aside, flushed and renamed, so the previous one stays usable after a kill or with a full disk. Not by `replaceFile`, which
 * replaces a single file: a checkpoint is a directory, so it uses the functions for directories of the same file.
 */

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type FileHandle, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { issueText } from '../../src/contract/bounded.ts';
import { failedPrecondition, HyperpolicyError, invalidArgument } from '../../src/contract/errors.ts';
import { isRecord } from '../../src/contract/records.ts';
import {
  asidePath,
  revealDirectory,
  syncDirectory,
  withDirectoryAside,
  writeDurably,
} from '../../src/files/durable-files.ts';
import { isFullDisk, makeFolder, makeRoom } from '../../src/files/folders.ts';
import { readHashed, writeHashed } from '../../src/files/hashed-bytes.ts';
import type { JsonValue, SavedState, StateArray } from './saved-state.ts';

const format = 1;
/** Checkpoints kept besides the one just written. */
const keepOthersCount = 1;
const stateFile = 'checkpoint.json';
const arraysFile = 'arrays.bin';
const asidePurpose = 'checkpoint';
/** Of a checkpoint that another of its step replaces. */
const replacedName = 'replaced';

const arrayTypes = { Float32Array, Float64Array, Int32Array, Uint32Array, Uint8Array } as const;

const schema = z.object({
  format: z.literal(format),
  step: z.number().int().nonnegative(),
  arrays: z.array(
    z.object({
      name: z.string(),
      type: z.enum(['Float32Array', 'Float64Array', 'Int32Array', 'Uint32Array', 'Uint8Array']),
      length: z.number().int().nonnegative(),
      sha256: z.string(),
    }),
  ),
  state: z.json(),
  /** Of all else, as JSON without spaces; not in checkpoints of former versions. */
  sha256: z.string().optional(),
});

export type Checkpoint = SavedState & { readonly step: number };

/**
 * Writes a checkpoint. Of the others it keeps the newest one and those of `keepSteps`, and removes the rest. Arrays are
 * not copied first, so they must not change before the promise resolves.
 * @param directory holds the checkpoints of one run; created if missing
 * @param options.keepSteps checkpoints that are still in use
 * @returns the new checkpoint's directory
 * @throws HyperpolicyError failed_precondition: the directory cannot be written; earlier checkpoints stand
 */
export async function saveCheckpoint(
  directory: string,
  { step, arrays, state }: Checkpoint,
  { keepSteps = [] }: { keepSteps?: readonly number[] } = {},
): Promise<string> {
  try {
    makeFolder(directory);
    await finishReplacement(directory);
    await removeAside(directory);
    const target = join(directory, String(step));
    const aside = asidePath(directory, asidePurpose, String(step));
    await withDirectoryAside(aside, async () => {
      const listed = await writeArrays(join(aside, arraysFile), arrays);
      const content = { format, step, arrays: listed, state };
      await writeDurably(join(aside, stateFile), JSON.stringify({ ...content, sha256: hashOf(content) }));
      if (await revealDirectory(aside, target)) return;
      // The step has a checkpoint. Two renames replace it. A kill between them leaves both aside; finishReplacement does the second.
      const replaced = asidePath(directory, asidePurpose, replacedName);
      await rename(target, replaced);
      await rename(aside, target).catch(async (cause) => {
        await rename(replaced, target);
        throw cause;
      });
      await syncDirectory(directory);
      await rm(replaced, { recursive: true });
    });
    const others = (await checkpointSteps(directory)).filter((other) => other !== step && !keepSteps.includes(other));
    await removeSteps(directory, others.slice(0, -keepOthersCount));
    return target;
  } catch (cause) {
    if (cause instanceof HyperpolicyError) throw cause;
    throw failedPrecondition({
      where: directory,
      expected: 'a directory that takes a checkpoint',
      actual: (cause as Error).message,
      remedy: `${isFullDisk(cause) ? `${makeRoom}. ` : ''}Earlier checkpoints are untouched`,
      cause,
    });
  }
}

/** Steps of the checkpoints in a directory, ascending; none if the directory is missing. */
export async function checkpointSteps(directory: string): Promise<number[]> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    // ENOTDIR: a file stands in the place of a folder above it.
    if (/^(ENOENT|ENOTDIR)$/.test((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
  return names
    .filter(isStep)
    .map(Number)
    .sort((a, b) => a - b);
}

/** Whether there is one to load, also one that a killed writer was about to show. */
export const hasLoadable = async (directory: string): Promise<boolean> =>
  (await checkpointSteps(directory)).length > 0 || existsSync(asidePath(directory, asidePurpose, replacedName));

const isStep = (name: string): boolean => /^(0|[1-9]\d{0,14})$/.test(name);

/** Removes the checkpoints of later steps. A resumed run does these steps again. */
export async function removeCheckpointsAfter(directory: string, step: number): Promise<void> {
  const later = (await checkpointSteps(directory)).filter((other) => other > step);
  await removeSteps(directory, later);
}

/**
 * Loads the newest checkpoint of a directory, or null if it has none.
 * @throws HyperpolicyError invalid_argument: it is damaged; the error says how to go on from the one before
 */
export async function loadNewestCheckpoint(directory: string): Promise<Checkpoint | null> {
  await finishReplacement(directory);
  const step = (await checkpointSteps(directory)).at(-1);
  return step === undefined ? null : loadCheckpoint(join(directory, String(step)));
}

/**
 * Loads one checkpoint and verifies it.
 * @throws HyperpolicyError invalid_argument: it is missing a file or damaged
 */
export async function loadCheckpoint(path: string): Promise<Checkpoint> {
  const { step, arrays: listed, state } = await readState(join(path, stateFile));
  const file = join(path, arraysFile);
  const bytes = listed.reduce((sum, { type, length }) => sum + length * arrayTypes[type].BYTES_PER_ELEMENT, 0);
  const arrays: Record<string, StateArray> = {};
  let handle: FileHandle | undefined;
  try {
    const { size } = await stat(file);
    if (size !== bytes) throw damaged(file, `${bytes} bytes`, `${size}`);
    handle = await open(file, 'r');
    for (const { name, type, length, sha256 } of listed) {
      const array = new arrayTypes[type](length);
      const actual = await readHashed(handle, bytesOf(array));
      if (actual !== sha256) throw damaged(file, `SHA-256 ${sha256} of "${name}"`, actual);
      arrays[name] = array;
    }
  } catch (cause) {
    if (cause instanceof HyperpolicyError) throw cause;
    throw damaged(file, 'a file that can be read', (cause as Error).message, cause);
  } finally {
    await handle?.close();
  }
  return { step, arrays, state: state as JsonValue };
}

/**
 * The state of the newest checkpoint of a directory without its arrays; undefined if it has none. Writes nothing.
 * @throws HyperpolicyError invalid_argument: it is damaged
 */
export async function readNewestState(directory: string): Promise<JsonValue | undefined> {
  const step = (await checkpointSteps(directory)).at(-1);
  if (step === undefined) return undefined;
  return (await readState(join(directory, String(step), stateFile))).state as JsonValue;
}

async function removeSteps(directory: string, steps: readonly number[]): Promise<void> {
  for (const step of steps) await rm(join(directory, String(step)), { recursive: true });
}

async function writeArrays(path: string, arrays: Checkpoint['arrays']): Promise<z.infer<typeof schema>['arrays']> {
  const file = await open(path, 'wx');
  try {
    const listed = [];
    for (const [name, array] of Object.entries(arrays)) {
      const sha256 = await writeHashed(file, bytesOf(array));
      listed.push({ name, type: typeOf(array), length: array.length, sha256 });
    }
    await file.sync();
    return listed;
  } finally {
    await file.close();
  }
}

async function readState(path: string): Promise<z.infer<typeof schema>> {
  const expected = `a checkpoint of format ${format}`;
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw damaged(path, expected, (cause as Error).message.split('\n')[0]!, cause);
  }
  if (isRecord(value) && Number.isSafeInteger(value.format) && value.format !== format) {
    const remedy = 'Go on with the version of hyperpolicy that wrote it';
    throw invalidArgument({ where: path, expected, actual: `${value.format}`, remedy });
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    throw damaged(path, expected, issueText(parsed.error.issues[0]!));
  }
  const { data: state } = parsed;
  const { sha256, ...content } = state;
  const actual = hashOf(content);
  if (sha256 !== undefined && sha256 !== actual) throw damaged(path, `SHA-256 ${sha256}`, actual);
  return state;
}

const hashOf = (content: object): string => createHash('sha256').update(JSON.stringify(content)).digest('hex');

/** Shows the checkpoint that a killed writer had whole, after it had put the one before out of the way. */
async function finishReplacement(directory: string): Promise<void> {
  if (!existsSync(asidePath(directory, asidePurpose, replacedName))) return;
  const prefix = `.${asidePurpose}-`;
  for (const name of await readdir(directory)) {
    const step = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    if (isStep(step) && !existsSync(join(directory, step))) await rename(join(directory, name), join(directory, step));
  }
  await syncDirectory(directory);
}

/** Removes what a killed writer left. No other writer is at work: a directory belongs to one run at a time. */
async function removeAside(directory: string): Promise<void> {
  const names = (await readdir(directory)).filter((name) => name.startsWith(`.${asidePurpose}-`));
  for (const name of names) await rm(join(directory, name), { recursive: true });
}

function typeOf(array: StateArray): keyof typeof arrayTypes {
  return (Object.keys(arrayTypes) as (keyof typeof arrayTypes)[]).find((type) => array instanceof arrayTypes[type])!;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: StateArray) => new Uint8Array(buffer, byteOffset, byteLength);

const damaged = (where: string, expected: string, actual: string, cause?: unknown) =>
  invalidArgument({
    where,
    expected,
    actual,
    remedy: 'The checkpoint is damaged; remove its directory to go on from the one before',
    cause,
  });
