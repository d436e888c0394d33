/**
 * The metric files of a run directory: `metrics.jsonl`, one record a line, and `metrics.csv`, the same records as a table
 * whose columns are all names seen, in order of first appearance. The JSON lines are the record; the table follows them.
 */

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { invalidArgument } from '../../src/contract/errors.ts';
import { replaceFileSync } from '../../src/files/durable-files.ts';

/** `step` is environment steps, `seconds` training time. The rest are metrics, by name; run/README.md has the glossary. */
export type MetricRecord = { readonly step: number; readonly seconds: number; readonly [name: string]: number };

export type MetricFiles = {
  /** Appends one record to both files; it survives a kill of the process once this returns. */
  write(record: MetricRecord): void;
  /** Waits until all records are on the disk. */
  flush(): void;
  close(): void;
};

const jsonLinesFile = 'metrics.jsonl';
const tableFile = 'metrics.csv';

/**
 * Opens the metric files of a run directory, which is created where missing.
 * @param resumeStep keeps the records up to this step and drops later ones and torn last lines; without it the files must be new
 * @throws HyperpolicyError invalid_argument: there are records already, or they do not parse
 */
export function openMetricFiles({
  directory,
  resumeStep,
}: {
  directory: string;
  resumeStep?: number | undefined;
}): MetricFiles {
  mkdirSync(directory, { recursive: true });
  const lines = join(directory, jsonLinesFile);
  const table = join(directory, tableFile);
  const kept = resumeStep === undefined ? [] : readMetrics(directory).filter(({ step }) => step <= resumeStep);
  if (resumeStep === undefined && existsSync(lines)) {
    throw invalidArgument({
      where: lines,
      expected: 'a run directory without records',
      actual: 'records of an earlier run',
      remedy: 'Resume that run or choose another directory',
    });
  }
  const columns = columnsOf(kept);
  replaceFileSync(lines, kept.map(jsonLine).join(''), 'jsonl');
  replaceFileSync(table, tableText(kept, columns), 'csv');
  const linesFile = openSync(lines, 'a');
  let tableFileDescriptor = openSync(table, 'a');
  return {
    write(record) {
      writeFileSync(linesFile, jsonLine(record));
      const added = Object.keys(record).filter((name) => !columns.includes(name));
      if (added.length === 0) {
        writeFileSync(tableFileDescriptor, tableRow(record, columns));
        return;
      }
      // A metric that was not seen before: a new column, so the table is written anew. A run has few of them.
      columns.push(...added);
      closeSync(tableFileDescriptor);
      replaceFileSync(table, tableText(readMetrics(directory), columns), 'csv');
      tableFileDescriptor = openSync(table, 'a');
    },
    flush() {
      fsyncSync(linesFile);
      fsyncSync(tableFileDescriptor);
    },
    close() {
      closeSync(linesFile);
      closeSync(tableFileDescriptor);
    },
  };
}

/**
 * The records of a run directory in order; none where it has no metric file. A last line without its end, torn by a kill, is dropped.
 * @throws HyperpolicyError invalid_argument: another line is not a record
 */
export function readMetrics(directory: string): MetricRecord[] {
  const path = join(directory, jsonLinesFile);
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.slice(0, -1).map((line, i) => {
    try {
      const record: unknown = JSON.parse(line, (_, value) => (value === null ? Number.NaN : value));
      if (isRecord(record)) return record;
    } catch {
      // Falls through to the error below, which shows the line.
    }
    throw invalidArgument({
      where: `${path}:${i + 1}`,
      expected: 'an object of numbers with step and seconds',
      actual: line.slice(0, 80),
    });
  });
}

const isRecord = (value: unknown): value is MetricRecord =>
  typeof value === 'object' &&
  value !== null &&
  'step' in value &&
  'seconds' in value &&
  Object.values(value).every((entry) => typeof entry === 'number');

/** JSON has no NaN; `null` stands for what is not finite. */
const jsonLine = (record: MetricRecord): string => `${JSON.stringify(record)}\n`;

const columnsOf = (records: readonly MetricRecord[]): string[] => [
  ...new Set(['step', 'seconds', ...records.flatMap((record) => Object.keys(record))]),
];

function tableRow(record: MetricRecord, columns: readonly string[]): string {
  const cells = columns.map((name) => {
    const value = record[name];
    return value === undefined ? '' : Number.isFinite(value) ? value : 'NaN';
  });
  return `${cells.join(',')}\n`;
}

const tableText = (records: readonly MetricRecord[], columns: readonly string[]): string =>
  `${columns.join(',')}\n${records.map((record) => tableRow(record, columns)).join('')}`;
