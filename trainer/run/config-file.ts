/** Reads a config that a person wrote, as JSON or YAML. */

import { readFileSync } from 'node:fs';
import { parseDocument } from 'yaml';
import { invalidArgument } from '../../src/contract/errors.ts';
import { parseWrittenJson } from '../../src/contract/written-json.ts';
import { unreadableNamed } from '../../src/package/listed-file.ts';
import { isRecord } from './complete-config.ts';
import type { GivenConfig } from './config.ts';

/**
 * The settings of a file; config.ts checks them.
 * @param path JSON if it ends in `.json`, else YAML
 * @throws HyperpolicyError not_found: it cannot be read; invalid_argument: it does not parse, gives a name twice, or holds no object
 */
export function readConfigFile(path: string): GivenConfig {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (cause) {
    throw unreadableNamed(path, path, cause);
  }
  const isJson = path.endsWith('.json');
  const expected = `${isJson ? 'JSON' : 'YAML'} with settings by name`;
  const refusal = (actual: string, cause?: unknown) => invalidArgument({ where: path, expected, actual, cause });
  let value: unknown;
  try {
    value = isJson ? parseWrittenJson(content) : parseYaml(content);
  } catch (cause) {
    throw refusal((cause as Error).message.split('\n')[0]!, cause);
  }
  if (isRecord(value)) return value;
  throw refusal(value === null || value === undefined ? 'an empty file' : 'another value');
}

/** @throws Error if it is no YAML, or has a tag that is not known or a value that holds itself */
function parseYaml(content: string): unknown {
  const document = parseDocument(content, { merge: true });
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault !== undefined) throw fault;
  const value: unknown = document.toJS();
  try {
    JSON.stringify(value);
  } catch (cause) {
    throw new Error('a value that holds itself', { cause });
  }
  return value;
}
