/**
 * Where a module, or one that it imports, does not parse or link. Of what does not parse Node leaves that out of the error of an import, and
 * tells it only of its own main file.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { lineIn } from './user-code.ts';

/** Node starts in a fraction of it. */
const checkMsMax = 10_000;
/** Each is looked at by a process of its own. */
const fileCountMax = 50;

/** JavaScript files that a module imports by their URLs. One in a comment is looked at too, and told only where it does not parse. */
const imports = /\b(?:from|import|require)\s*\(?\s*(['"])(\.{1,2}\/[^'"?#\n]+\.[cm]?js)(?:[?#][^'"\n]*)?\1/g;

/**
 * @param stack of the error of its import
 * @returns file and line, the file as seen from the folder of the module; undefined if none is found
 */
export function unparsedPlace(file: string, stack: string): string | undefined {
  return toldPlace(file, stack) ?? (isRunIn(file, stack) ? undefined : foundPlace(file));
}

/** Whether the module ran, and so parsed: JSON.parse and `new Function` throw a SyntaxError too. One that awaits an import may not link. */
function isRunIn(file: string, stack: string): boolean {
  const calls = stack.split('\n').filter((line) => /^\s+at (?!async )/.test(line));
  return lineIn(calls.join('\n'), file) !== undefined;
}

/** Of an import that another module does not have: before its error. */
function toldPlace(file: string, stack: string): string | undefined {
  const [, place = '', line] = /^(.+):(\d+)\n/.exec(stack) ?? [];
  const path = place.startsWith('file:') ? fileURLToPath(place) : place;
  return isAbsolute(path) ? `${relative(dirname(file), path)}:${line}` : undefined;
}

function foundPlace(file: string): string | undefined {
  const files = new Set([file]);
  // What is added meanwhile has its turn too.
  for (const one of files) {
    const line = unparsedLine(one);
    if (line !== undefined) return `${relative(dirname(file), one)}:${line}`;
    for (const [, , name] of readFileSync(one, 'utf8').matchAll(imports)) {
      const imported = fileURLToPath(new URL(name!, pathToFileURL(one)));
      if (files.size < fileCountMax && existsSync(imported)) files.add(imported);
    }
  }
  return undefined;
}

function unparsedLine(file: string): string | undefined {
  const line = lineIn(checkedBy([file]), file);
  if (line !== undefined || !file.endsWith('.js')) return line;
  // Where no package.json says what it is, that check takes it for CommonJS, and is silent where it has import or export.
  const text = readFileSync(file, 'utf8');
  return /^\s*(import|export)\b/m.test(text) ? lineIn(checkedBy(['--input-type=module'], text), '[stdin]') : undefined;
}

/** What Node prints of a file, or of a text. It reads it, and runs nothing of it. */
const checkedBy = (args: readonly string[], input?: string): string =>
  spawnSync(process.execPath, ['--check', ...args], { input, encoding: 'utf8', timeout: checkMsMax }).stderr;
