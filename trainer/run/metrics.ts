/**
 * The metric files of a run directory. `metrics.jsonl` has one record a line. `metrics.csv` has the same records as a table;
 * its columns are all names so far, in order of first appearance. A resumed run reads the JSON lines and writes the table again.
 */

import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import { replaceFileSync } from '../../src/files/durable-files.ts';
import { isFullDisk, makeFolder, makeRoom, unwritableFolder } from '../../src/files/folders.ts';

/** `step` is environment steps or iterations, `seconds` training time. The rest are metrics, by name; run/README.md has the glossary. */
export type MetricRecord = { readonly step: number; readonly seconds: number; readonly [name: string]: number };

export type MetricFiles = {
  /** Records so far, those of earlier starts included. */
  readonly recordCount: number;
  /**
   * Appends one record to both files; it survives a kill of the process once this returns. If it cannot be written, it waits for
   * the next one.
   */
  write(record: MetricRecord): void;
  /** Waits until all records are on the disk. @throws HyperpolicyError failed_precondition: some cannot be written */
  flush(): void;
  /** Tries once more to write those that wait. */
  close(): void;
};

const jsonLinesFile = 'metrics.jsonl';
const tableFile = 'metrics.csv';
/** Records that are kept in memory while none can be written. */
const waitingCountMax = 10_000;

/**
 * Opens the metric files of a run directory, which is created if missing.
 * @param options.warn called once if records cannot be written
 * @param options.resumeStep keeps the records up to this step and drops later ones and torn last lines; without it the files must be new
 * @param options.resumeCount keeps only this many of these, the first; lines behind them need not parse
 * @throws HyperpolicyError invalid_argument: there are records already, or they do not parse; failed_precondition: they cannot be written
 */
export function openMetricFiles({
  directory,
  resumeStep,
  resumeCount,
  warn = () => {},
}: {
  directory: string;
  resumeStep?: number | undefined;
  resumeCount?: number | undefined;
  warn?: ((line: string) => void) | undefined;
}): MetricFiles {
  makeFolder(directory);
  const lines = join(directory, jsonLinesFile);
  if (resumeStep === undefined && existsSync(lines)) {
    throw invalidArgument({
      where: lines,
      expected: 'a run directory without records',
      actual: 'records of an earlier run',
      remedy: 'Resume that run or choose another directory',
    });
  }
  const upTo = (last: number) => readMetrics(directory, resumeCount).filter(({ step }) => step <= last);
  const kept = resumeStep === undefined ? [] : upTo(resumeStep);
  try {
    return new Records(directory, kept, warn);
  } catch (cause) {
    throw unwritableFolder(whereOf(directory), cause);
  }
}

const whereOf = (directory: string): string => `metrics of run directory "${directory}"`;

class Records implements MetricFiles {
  readonly #lines: JsonLines;
  readonly #table: Table;
  readonly #waiting: MetricRecord[] = [];
  readonly #where: string;
  readonly #warn: (line: string) => void;
  #recordCount: number;
  #hasWarned = false;

  constructor(directory: string, kept: readonly MetricRecord[], warn: (line: string) => void) {
    this.#recordCount = kept.length;
    this.#where = whereOf(directory);
    this.#warn = warn;
    this.#lines = new JsonLines(directory, kept);
    try {
      this.#table = new Table(directory, kept);
    } catch (error) {
      this.#lines.close();
      throw error;
    }
  }

  get recordCount(): number {
    return this.#recordCount;
  }

  write(record: MetricRecord): void {
    this.#recordCount += 1;
    if (this.#waiting.length >= waitingCountMax) this.#waiting.shift();
    this.#waiting.push(record);
    try {
      this.#writeWaiting();
      this.#hasWarned = false;
    } catch (error) {
      if (!this.#hasWarned) {
        const remedy = `training goes on, and the newest ${waitingCountMax} wait for room on the disk`;
        this.#warn(`metrics could not be written (${(error as Error).message}); ${remedy}`);
      }
      this.#hasWarned = true;
    }
  }

  flush(): void {
    try {
      this.#writeWaiting();
      this.#lines.flush();
      this.#table.flush();
    } catch (cause) {
      throw failedPrecondition({
        where: this.#where,
        expected: 'files that can be written',
        actual: (cause as Error).message,
        remedy: isFullDisk(cause) ? makeRoom : undefined,
        cause,
      });
    }
  }

  close(): void {
    try {
      this.#writeWaiting();
    } catch (error) {
      this.#warn(`${this.#waiting.length} records of the metrics are lost (${(error as Error).message})`);
    }
    this.#lines.close();
    this.#table.close();
  }

  #writeWaiting(): void {
    while (this.#waiting.length > 0) {
      const record = this.#waiting[0]!;
      this.#lines.write(record);
      this.#waiting.shift();
      this.#table.write(record);
    }
  }
}

class JsonLines {
  readonly #file: number;
  /** Bytes of whole lines: after a write that a full disk cut, the file is truncated to this. */
  #byteCount: number;

  constructor(directory: string, kept: readonly MetricRecord[]) {
    const path = join(directory, jsonLinesFile);
    replaceFileSync(path, kept.map(jsonLine).join(''), 'jsonl');
    this.#file = openSync(path, 'a');
    this.#byteCount = fstatSync(this.#file).size;
  }

  write(record: MetricRecord): void {
    const line = Buffer.from(jsonLine(record));
    try {
      writeFileSync(this.#file, line);
    } catch (error) {
      ftruncateSync(this.#file, this.#byteCount);
      throw error;
    }
    this.#byteCount += line.byteLength;
  }

  flush(): void {
    fsyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }
}

class Table {
  readonly #directory: string;
  readonly #path: string;
  readonly #columns: string[];
  /** Open at all times: the number of a closed file may become another file's. */
  #file: number;
  /** Whether rows may be missing, after a write that failed. */
  #isBehind = false;

  constructor(directory: string, kept: readonly MetricRecord[]) {
    this.#directory = directory;
    this.#path = join(directory, tableFile);
    this.#columns = columnsOf(kept);
    replaceFileSync(this.#path, tableText(kept, this.#columns), 'csv');
    this.#file = openSync(this.#path, 'a');
  }

  /** Adds the row of a record that the JSON lines have. */
  write(record: MetricRecord): void {
    const added = Object.keys(record).filter((name) => !this.#columns.includes(name));
    this.#columns.push(...added);
    // A run has few metrics that were not seen before.
    const isRewritten = added.length > 0 || this.#isBehind;
    this.#isBehind = true;
    if (isRewritten) this.#rewrite();
    else writeFileSync(this.#file, tableRow(record, this.#columns));
    this.#isBehind = false;
  }

  flush(): void {
    fsyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }

  #rewrite(): void {
    replaceFileSync(this.#path, tableText(readMetrics(this.#directory), this.#columns), 'csv');
    const former = this.#file;
    this.#file = openSync(this.#path, 'a');
    closeSync(former);
  }
}

/**
 * The records of a run directory in order; none if it has no metric file. A last line that is incomplete, with or without its end, is dropped.
 * @param countMax reads only this many, the first
 * @throws HyperpolicyError invalid_argument: another line is not a record
 */
export function readMetrics(directory: string, countMax?: number): MetricRecord[] {
  const path = join(directory, jsonLinesFile);
  if (!existsSync(path)) return [];
  // Behind the last end of a line is nothing, or what a kill left of one.
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.slice(0, countMax).flatMap((line, i) => {
    const record = recordIn(line);
    if (record !== undefined) return [record];
    if (i === lines.length - 1) return [];
    throw invalidArgument({
      where: `${path}:${i + 1}`,
      expected: 'an object of numbers with step and seconds',
      actual: line.slice(0, 80),
      remedy: 'Remove that line',
    });
  });
}

/** Undefined if the line is none. */
function recordIn(line: string): MetricRecord | undefined {
  try {
    const record: unknown = JSON.parse(line, (_, value) => (value === null ? Number.NaN : value));
    return isRecord(record) ? record : undefined;
  } catch {
    return undefined;
  }
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
