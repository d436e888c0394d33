/** `plot` and `report` of the built command, on folders where some runs are young or broken. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { writeRun } from '../trainer/report/runs.ts';
import { runCommand } from './command.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plot-test-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('plot and report say which runs of a folder they leave out, and why', async () => {
  await writeRun(join(folder, 'runs'), { seed: 0, returns: { 0: 1, 100: 2 } });
  await writeRun(join(folder, 'runs'), { seed: 1, returns: { 0: 1 } });
  const empty = join(folder, 'runs', 'empty');
  mkdirSync(empty);
  writeFileSync(join(empty, 'config.json'), '');
  const stderr =
    `left out ${empty}: ${empty}/config.json: expected the config of a run, got an empty file. ` +
    'train.log has the settings of each start; write them back, or begin another run\n' +
    'Pendulum-v1-mlp-small-100-seed1 (at step 0) is left out of the curve of td3 mlp-small (seed 0), which reaches step 100\n';
  const plot = await runCommand(['plot', 'runs', '--out', 'curves.svg'], folder);
  expect(plot).toEqual({
    code: 0,
    stdout: '{"picture":"curves.svg","curves":["Pendulum-v1: td3 mlp-small (seed 0)"]}\n',
    stderr,
  });
  expect(await runCommand(['report', 'runs'], folder)).toEqual({
    code: 0,
    stdout: '{"page":"report.html","runs":2}\n',
    stderr,
  });
  const named = await runCommand(['plot', 'runs/empty/config.json'], folder);
  expect(named).toMatchObject({
    code: 1,
    stderr: 'hyperpolicy: runs/empty/config.json: expected a run directory, or a folder with some, got a file\n',
  });
}, 60_000);

test('a disk that is full at the end is told with the file', async () => {
  await writeRun(join(folder, 'runs'), { seed: 0, returns: { 0: 1, 100: 2 } });
  for (const [command, out] of [
    ['plot', 'full.svg'],
    ['report', 'full.html'],
  ] as const) {
    symlinkSync('/dev/full', join(folder, out));
    expect(await runCommand([command, 'runs', '--out', out], folder)).toMatchObject({
      code: 1,
      stderr: `hyperpolicy: --out ${out}: expected a file that can be written, got ENOSPC: no space left on device, write\n`,
    });
  }
}, 60_000);

test('a report names the command that publishes a run with --publish none, which gives it its pictures', async () => {
  const settings = '--env Pendulum-v1 --critic mlp-small --actor-hidden 8 --batch-size 4 --steps 40 --warm-up 20';
  const train = `train td3 ${settings} --eval-every 20 --eval-episodes 1 --threads 1 --publish none`;
  const run = async (...args: string[]) => {
    const { code, stderr } = await runCommand(args, folder);
    expect(code, stderr).toBe(0);
  };
  const page = async () => {
    await run('report', 'runs/it is');
    return readFileSync(join(folder, 'report.html'), 'utf8');
  };
  await run(...train.split(' '), '--run', 'runs/it is');
  const before = await page();
  expect(before).not.toContain('<figcaption>');
  const [, command] = /no pictures \(nothing is published\. To publish what it has learnt: ([^()]*)\)/.exec(before)!;
  const [, first, directory, last] = /^(?:npx )?hyperpolicy (.*) '(.*)' (.*)$/.exec(command!)!;
  await run(...first!.split(' '), directory!, ...last!.split(' '));
  expect(await page()).toMatch(/<figcaption>it is: return -[\d,.]+ in 200 steps<\/figcaption>/);
  rmSync(join(folder, '.hyperpolicy'), { recursive: true });
  expect(await page()).toContain('no pictures (what it published is gone or cannot be read: ');
}, 60_000);
