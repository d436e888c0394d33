/**
 * Routing of a model: labels, percentages and withheld versions. It is kept in `<store>/<model>/labels.json`, so every process of a
 * server reads the same, also after a restart. The file is replaced atomically.
 */

import { join } from 'node:path';
import { z } from 'zod';
import { atMost, issueText, parseBounded } from '../contract/bounded.ts';
import { type ErrorFields, failedPrecondition, invalidArgument, quoted } from '../contract/errors.ts';
import { refuseRepeatedNames } from '../contract/written-json.ts';
import { replaceFile } from '../files/durable-files.ts';
import { readRegularText } from './listed-file.ts';
import { versionMax } from './manifest.ts';

/** More of a file is not read, as it is read at every look through the store, on the event loop. */
const labelCountMax = 1000;
const withheldCountMax = 10_000;
const fileBytesMax = 2 ** 19;
/** Labels, percentages and some more. */
const partCountMax = 2 * labelCountMax + 100;

const version = z.number().int().positive().max(versionMax);

const routingSchema = z.strictObject({
  /** Label -> version. */
  labels: z.record(z.string(), version).default({}),
  /** Label -> percentage of clients, summing to 100; if empty, every client gets the newest version. */
  percentages: z.record(z.string(), z.number()).default({}),
  /** Versions of the store that are not served: unloaded or rolled back. */
  withheld: atMost(withheldCountMax, z.array(version)).default([]),
});

const labelName = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** The first fault of a routing whose fields have the right types; undefined if there is none. */
function faultOf({
  labels,
  percentages,
  withheld,
}: Routing): Pick<ErrorFields, 'where' | 'expected' | 'actual' | 'remedy'> | undefined {
  const names = Object.keys(labels);
  if (names.length > labelCountMax) {
    return { where: 'labels', expected: `at most ${labelCountMax}`, actual: `${names.length}` };
  }
  if (withheld.length > withheldCountMax) {
    const remedy = 'Take versions out of the store that are not to be served again';
    return {
      where: 'withheld versions',
      expected: `at most ${withheldCountMax}`,
      actual: `${withheld.length}`,
      remedy,
    };
  }
  const badName = names.find((name) => !labelName.test(name));
  if (badName !== undefined) {
    return {
      where: 'label',
      expected: '1 to 64 of a-z, 0-9, ".", "_" and "-", the first a letter or digit',
      actual: quoted(badName),
    };
  }
  const shares = Object.entries(percentages);
  const where = 'percentages';
  const outside = shares.find(([, share]) => !(share >= 0 && share <= 100));
  if (outside !== undefined) {
    return { where, expected: `0 to 100 for label ${quoted(outside[0])}`, actual: `${outside[1]}` };
  }
  const stray = shares.find(([name]) => !Object.hasOwn(labels, name));
  if (stray !== undefined) {
    return {
      where,
      expected:
        names.length === 0
          ? 'labels, of which the model has none'
          : `labels of the model (${names.sort().slice(0, 10).join(', ')})`,
      actual: quoted(stray[0]),
      remedy: 'Give the label a version first, or take it out of the percentages',
    };
  }
  const sum = shares.reduce((total, [, share]) => total + share, 0);
  if (shares.length === 0 || Math.abs(sum - 100) < 1e-6) return undefined;
  const shown = shares
    .slice(0, 10)
    .map(([name, share]) => `${name}=${share}`)
    .join(', ');
  return { where, expected: 'shares that sum to 100', actual: `${sum} (${shown})` };
}

export type Routing = Readonly<z.infer<typeof routingSchema>>;

export const emptyRouting: Routing = routingSchema.parse({});

/** Where it is kept. */
export const routingFile = (store: string, model: string): string => join(store, model, 'labels.json');

/**
 * @returns the empty routing if the model has no file
 * @throws HyperpolicyError invalid_argument: a damaged file
 */
export async function readRouting(store: string, model: string): Promise<Routing> {
  let text: string;
  try {
    text = await readRegularText(routingFile(store, model), fileBytesMax);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return emptyRouting;
    throw error;
  }
  const file = `${model}/labels.json`;
  let routing: Routing;
  try {
    const parsed = parseBounded(text, partCountMax);
    refuseRepeatedNames(text);
    routing = routingSchema.parse(parsed);
  } catch (cause) {
    const reason = cause instanceof z.ZodError ? issueText(cause.issues[0]!) : (cause as Error).message;
    const actual = reason.slice(0, reasonLengthMax);
    throw invalidArgument({ where: file, expected: 'labels, percentages and withheld', actual, cause });
  }
  const fault = faultOf(routing);
  if (fault !== undefined) throw invalidArgument({ ...fault, where: `${file} ${fault.where}` });
  return routing;
}

/** Names of fields may be as long as the file. */
const reasonLengthMax = 200;

/**
 * Replaces a model's routing.
 * @param where named in errors
 * @throws HyperpolicyError invalid_argument: percentages that do not sum to 100 or name no label; failed_precondition: the store
 *   cannot be written
 */
export async function writeRouting(
  store: string,
  model: string,
  routing: Routing,
  where = 'routing',
): Promise<Routing> {
  const fault = faultOf(routing);
  if (fault !== undefined) throw invalidArgument({ ...fault, where: `${where} ${fault.where}` });
  try {
    await replaceFile(routingFile(store, model), `${JSON.stringify(routing, null, 2)}\n`);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw failedPrecondition({
      where: 'routing',
      expected: 'a store that can be written',
      actual: code ?? 'an error',
      cause,
    });
  }
  return routing;
}

/** FNV-1a over UTF-16 units. It must never change: clients keep their version across restarts and machines. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  // One more mixing step: FNV's high bits change little between texts that differ only at their end.
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  return (value ^ (value >>> 16)) >>> 0;
}

/**
 * The label whose share a client falls into; it stays the same while the percentages do. Clients without an id get the label with the
 * largest share. Undefined without percentages.
 */
export function labelForClient({ percentages }: Routing, clientId: string): string | undefined {
  const shares = Object.entries(percentages);
  if (shares.length === 0) return undefined;
  shares.sort(([a], [b]) => (a < b ? -1 : 1));
  if (clientId === '') return shares.reduce((best, share) => (share[1] > best[1] ? share : best))[0];
  let left = (hash(clientId) / 2 ** 32) * 100;
  for (const [label, share] of shares) {
    left -= share;
    if (left < 0) return label;
  }
  return shares.at(-1)![0];
}
