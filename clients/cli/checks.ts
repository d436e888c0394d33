/**
 * Checks before a command's work, of what would otherwise fail at its end: ports that are taken or given twice, files that cannot be
 * written, files in the place of folders.
 */

import { accessSync, closeSync, constants, existsSync, openSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, resolve } from 'node:path';
import { failedPrecondition, type HyperpolicyError, invalidArgument } from '../../src/contract/errors.ts';

/** Ports by their flags, e.g. `--port`; 0 is any that is free, undefined none. */
export type Ports = Readonly<Record<string, number | undefined>>;

/**
 * @param command that is told of in errors
 * @param command.remedy how to choose others
 * @param command.refusal of a port that cannot be had
 * @throws HyperpolicyError invalid_argument: two flags with one port; `refusal`
 */
export async function checkPorts(
  host: string,
  ports: Ports,
  command: {
    readonly where: string;
    readonly remedy: string;
    refusal(flag: string, port: number, cause: NodeJS.ErrnoException): HyperpolicyError;
  },
): Promise<void> {
  const { where, remedy } = command;
  const given = Object.entries(ports).flatMap(([flag, port]) =>
    port === undefined || port === 0 ? [] : [{ flag, port }],
  );
  given.forEach(({ flag, port }, i) => {
    const other = given.slice(0, i).find((before) => before.port === port);
    if (other === undefined) return;
    throw invalidArgument({
      where: `${where}: ${flag} ${port}`,
      expected: `another port than that of ${other.flag}`,
      actual: 'the same',
      remedy,
    });
  });
  for (const { flag, port } of given) {
    const failure = await listenOnce(host, port);
    if (failure !== undefined) throw command.refusal(flag, port, failure);
  }
}

function listenOnce(host: string, port: number): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const probe = createServer().once('error', resolve);
    probe.listen(port, host, () => probe.close(() => resolve(undefined)));
  });
}

/**
 * @param flag that names the file
 * @throws HyperpolicyError failed_precondition: the folder is missing, or the file could not be written
 */
export function checkWritableFile(flag: string, path: string): void {
  const refuse = (actual: string, cause?: unknown, expected = writableFile) =>
    unwritable(flag, path, { expected, actual, cause });
  let isDirectory = false;
  try {
    const existing = statSync(path, { throwIfNoEntry: false });
    isDirectory = existing?.isDirectory() === true;
    if (existing === undefined) makeAndRemove(path);
    else if (!isDirectory) accessSync(path, constants.W_OK);
  } catch (cause) {
    const folder = dirname(resolve(path));
    if (!existsSync(folder)) throw refuse('none', cause, `a folder at ${folder}`);
    throw refuse((cause as Error).message, cause);
  }
  if (isDirectory) throw refuse('a folder');
}

/** Writes a file that was checked. @throws HyperpolicyError failed_precondition: it cannot be written, as where the disk is full */
export function writeChecked(flag: string, path: string, content: string | Uint8Array): void {
  try {
    writeFileSync(path, content);
  } catch (cause) {
    throw unwritable(flag, path, { expected: writableFile, actual: (cause as Error).message, cause });
  }
}

const writableFile = 'a file that can be written';

const unwritable = (
  flag: string,
  path: string,
  fault: { readonly expected: string; readonly actual: string; readonly cause: unknown },
) => failedPrecondition({ where: `${flag} ${path}`, ...fault });

/** The rights of its folder alone do not tell, of /proc for example. */
function makeAndRemove(path: string): void {
  try {
    closeSync(openSync(path, 'wx'));
  } catch (cause) {
    // A link to a file that is not there yet, or a file that somebody has made meanwhile.
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw cause;
  }
  unlinkSync(path);
}

/**
 * A folder that is not there yet may be made later.
 * @param flag that names the folder
 * @throws HyperpolicyError failed_precondition: something else is there
 */
export function checkFolder(flag: string, path: string): void {
  const refuse = (actual: string, cause?: unknown) =>
    failedPrecondition({ where: `${flag} ${path}`, expected: 'a folder', actual, cause });
  let isFolder: boolean;
  try {
    isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? true;
  } catch (cause) {
    throw refuse((cause as Error).message, cause);
  }
  if (!isFolder) throw refuse('a file');
}
