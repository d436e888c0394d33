import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readAndWatch } from '../../src/files/reread.ts';
import { recordingLog } from '../server/fixtures.ts';

test('a change is told once, as what was read or as what was refused; a file that is missing for a moment is not', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hyperpolicy-reread-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'file.json');
  await writeFile(file, '1');
  const told: string[] = [];
  const number = readAndWatch([file], {
    where: 'number',
    name: 'numbers',
    parse: ([bytes]) => JSON.parse(bytes!.toString()) as number,
    describe: (value) => ({ value }),
    log: recordingLog().log,
    onRead: (result) => told.push(result),
  });
  const change = async (text: string) => {
    await writeFile(file, text);
    number.refresh();
    number.refresh();
    return [number.current, ...told.splice(0)];
  };
  expect(await change('2')).toEqual([2, 'loaded']);
  expect(await change('{')).toEqual([2, 'refused']);
  await rm(file);
  number.refresh();
  expect(told).toEqual([]);
  expect(await change('3')).toEqual([3, 'loaded']);
});
