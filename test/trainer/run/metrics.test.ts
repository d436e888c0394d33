import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type MetricRecord, openMetricFiles, readMetrics } from '../../../trainer/run/metrics.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'metrics-test-'));
});
afterEach(() => rm(directory, { recursive: true }));

const lines = () => readFileSync(join(directory, 'metrics.jsonl'), 'utf8');
const table = () => readFileSync(join(directory, 'metrics.csv'), 'utf8');

/** Paths of this process's open files. */
const openFiles = (): string[] =>
  readdirSync('/proc/self/fd').flatMap((number) => {
    try {
      return [realpathSync(join('/proc/self/fd', number))];
    } catch {
      // A pipe, or the folder that was just read.
      return [];
    }
  });

function write(records: readonly MetricRecord[], resumeStep?: number) {
  const files = openMetricFiles({ directory, resumeStep });
  for (const record of records) files.write(record);
  files.flush();
  files.close();
}

const three: readonly MetricRecord[] = [
  { step: 1000, seconds: 0.5, episodeReturn: -12.5 },
  { step: 1100, seconds: 0.6, criticLoss: 2e-7 },
  { step: 2000, seconds: 0.9, episodeReturn: 3 },
];

/** The beginning of a script that can limit how long its files get. */
const limited = `import { execFileSync } from 'node:child_process';
  import { symlinkSync } from 'node:fs';
  import { openMetricFiles, readMetrics } from ${JSON.stringify(new URL('../../../dist/trainer/run/metrics.js', import.meta.url).href)};
  process.on('SIGXFSZ', () => {});
  const limit = (bytes) => execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=' + bytes + ':']);`;

describe('metric files', () => {
  test('records that found no room are written when a checkpoint asks for it, and at the end', () => {
    const script = join(directory, 'full.mjs');
    writeFileSync(
      script,
      `${limited}
       const files = openMetricFiles({ directory: 'run' });
       const write = (first) => {
         for (let step = first; step < first + 60; step++) files.write({ step, seconds: step });
       };
       const counts = [];
       const count = () => counts.push(readMetrics('run').length);
       limit(1024);
       write(0);
       count();
       limit('unlimited');
       files.flush();
       count();
       limit(2048);
       write(60);
       count();
       limit('unlimited');
       files.close();
       count();
       console.log(JSON.stringify(counts));`,
    );
    const counts = JSON.parse(execFileSync(process.execPath, [script], { cwd: directory }).toString());
    expect(counts[0]).toBeLessThan(60);
    expect(counts[2]).toBeLessThan(120);
    expect([counts[1], counts[3]]).toEqual([60, 120]);
  });

  test('a full disk when a checkpoint asks for them is told with what to do', () => {
    const script = join(directory, 'flush.mjs');
    writeFileSync(
      script,
      `${limited}
       const files = openMetricFiles({ directory: 'run' });
       limit(0);
       files.write({ step: 1, seconds: 1, episodeReturn: 2 });
       limit('unlimited');
       // The line finds room now, and the table, which gets a column, none.
       symlinkSync('/dev/full', 'run/.metrics-csv');
       try {
         files.flush();
       } catch (error) {
         console.log(error.message);
       }`,
    );
    expect(execFileSync(process.execPath, [script], { cwd: directory }).toString()).toMatch(
      /^metrics of run directory "run": expected files that can be written, got ENOSPC: .*\. Make room on its disk\n$/,
    );
  });

  test('both files hold every record; a new metric becomes a new column', () => {
    write(three);
    expect(lines()).toBe(
      '{"step":1000,"seconds":0.5,"episodeReturn":-12.5}\n' +
        '{"step":1100,"seconds":0.6,"criticLoss":2e-7}\n' +
        '{"step":2000,"seconds":0.9,"episodeReturn":3}\n',
    );
    expect(table()).toBe('step,seconds,episodeReturn,criticLoss\n1000,0.5,-12.5,\n1100,0.6,,2e-7\n2000,0.9,3,\n');
    expect(readMetrics(directory)).toEqual(three);
  });

  test('a record is in both files as soon as it is written', () => {
    const files = openMetricFiles({ directory });
    files.write(three[0]!);
    expect(readMetrics(directory)).toEqual([three[0]]);
    expect(table()).toContain('-12.5');
    files.close();
  });

  test('resuming keeps the records up to the step, and goes on behind them', () => {
    write(three);
    write([{ step: 1500, seconds: 0.7, episodeReturn: 8 }], 1100);
    expect(readMetrics(directory).map(({ step }) => step)).toEqual([1000, 1100, 1500]);
    expect(
      table()
        .split('\n')
        .map((row) => row.split(',')[0]),
    ).toEqual(['step', '1000', '1100', '1500', '']);
  });

  test('a last line torn by a kill is dropped', () => {
    write(three);
    truncateSync(join(directory, 'metrics.jsonl'), lines().length - 5);
    expect(readMetrics(directory)).toEqual(three.slice(0, 2));
    write([three[2]!], 1999);
    expect(readMetrics(directory)).toEqual(three);
  });

  test('a torn last line that has its end is dropped too', () => {
    write(three);
    appendFileSync(join(directory, 'metrics.jsonl'), '{"step":2100,"sec\n');
    expect(readMetrics(directory)).toEqual(three);
    write([], 2000);
    expect(lines()).not.toContain('"sec\n');
    expect(readMetrics(directory)).toEqual(three);
  });

  test('lines behind those that the checkpoint counts need not be records', () => {
    write(three.slice(0, 2));
    appendFileSync(join(directory, 'metrics.jsonl'), `{"step":\n${JSON.stringify(three[2])}\n`);
    openMetricFiles({ directory, resumeStep: 1100, resumeCount: 2 }).close();
    expect(readMetrics(directory)).toEqual(three.slice(0, 2));
  });

  test('a full disk is told when they are opened, with what to do', () => {
    write(three);
    const before = lines();
    // The device gives the error of a full disk.
    symlinkSync('/dev/full', join(directory, '.metrics-jsonl'));
    expect(() => openMetricFiles({ directory, resumeStep: 1100 })).toThrow(
      new RegExp(
        `^metrics of run directory "${directory}": expected a directory that can be written, got ENOSPC: .*\\. Make room on its disk and give the same command again$`,
      ),
    );
    expect(lines()).toBe(before);
  });

  test('what is not finite shows as null in the lines and NaN in the table', () => {
    write([{ step: 1, seconds: 0, criticLoss: Number.NaN, actorLoss: Number.POSITIVE_INFINITY }]);
    expect(lines()).toBe('{"step":1,"seconds":0,"criticLoss":null,"actorLoss":null}\n');
    expect(table()).toContain('1,0,NaN,NaN');
    expect(readMetrics(directory)[0]!.criticLoss).toBeNaN();
  });

  test('keeps no file open if one of them cannot be made', () => {
    mkdirSync(join(directory, 'metrics.csv', 'inside'), { recursive: true });
    expect(() => openMetricFiles({ directory })).toThrow('metrics.csv');
    expect(openFiles().filter((path) => path.startsWith(directory))).toEqual([]);
  });

  test('refuses to mix two runs, and names a line that is not a record', () => {
    write(three);
    expect(() => openMetricFiles({ directory })).toThrow(
      `${directory}/metrics.jsonl: expected a run directory without records, got records of an earlier run. Resume that run or choose another directory`,
    );
    appendFileSync(join(directory, 'metrics.jsonl'), `not a record\n${JSON.stringify(three[2])}\n`);
    expect(() => openMetricFiles({ directory, resumeStep: 5 })).toThrow(
      `${directory}/metrics.jsonl:4: expected an object of numbers with step and seconds, got not a record. Remove that line`,
    );
    writeFileSync(join(directory, 'metrics.jsonl'), '{"step":1,"seconds":"x"}\n{"step":2,"seconds":2}\n');
    expect(() => readMetrics(directory)).toThrow('metrics.jsonl:1: expected an object of numbers');
  });
});
