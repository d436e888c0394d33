import { mkdir, mkdtemp, open, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  checkpointSteps,
  hasLoadable,
  loadCheckpoint,
  loadNewestCheckpoint,
  removeCheckpointsAfter,
  saveCheckpoint,
} from '../../../trainer/run/checkpoint.ts';

let root: string;
let directory: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'checkpoint-test-'));
  directory = join(root, 'checkpoints');
});
afterEach(() => rm(root, { recursive: true }));

const content = (step: number) => ({
  step,
  arrays: {
    weights: Float32Array.of(step, -0, 1e-45, Number.MAX_VALUE),
    qpos: Float64Array.of(Math.PI, step),
    empty: new Float32Array(0),
    indices: Int32Array.of(-1, 2 ** 31 - 1),
    words: Uint32Array.of(2 ** 32 - 1),
    bytes: Uint8Array.of(0, 255),
  },
  state: { position: 2 ** 53 - 1, share: 0.1, list: [null, true, 'text'] },
});
const save = (step: number) => saveCheckpoint(directory, content(step));

async function replaceInState(path: string, from: string | RegExp, to: string): Promise<void> {
  const file = join(path, 'checkpoint.json');
  const text = await readFile(file, 'utf8');
  expect(text).toMatch(from);
  await writeFile(file, text.replace(from, to));
}

describe('checkpoints', () => {
  test('arrays and state come back bit for bit', async () => {
    const path = await save(7);
    expect(path).toBe(join(directory, '7'));
    const loaded = await loadNewestCheckpoint(directory);
    expect(loaded).toEqual(content(7));
    expect(Object.is(loaded!.arrays.weights![1], -0)).toBe(true);
  });

  test('a view is saved as the part that it shows', async () => {
    const whole = Float32Array.of(1, 2, 3, 4);
    await saveCheckpoint(directory, { step: 1, arrays: { part: whole.subarray(1, 3) }, state: null });
    expect((await loadNewestCheckpoint(directory))!.arrays.part).toEqual(Float32Array.of(2, 3));
  });

  test('the newest two are kept', async () => {
    for (const step of [5, 90, 100, 1000]) await save(step);
    expect(await checkpointSteps(directory)).toEqual([100, 1000]);
    expect((await loadNewestCheckpoint(directory))!.step).toBe(1000);
  });

  test('one of a lower step outlives its own saving, and so do those that are named', async () => {
    for (const step of [300, 400]) await save(step);
    await save(200);
    expect(await checkpointSteps(directory)).toEqual([200, 400]);
    await saveCheckpoint(directory, content(500), { keepSteps: [200] });
    expect(await checkpointSteps(directory)).toEqual([200, 400, 500]);
  });

  test('those after a step are removed', async () => {
    for (const step of [1, 9]) await save(step);
    await removeCheckpointsAfter(directory, 1);
    expect(await checkpointSteps(directory)).toEqual([1]);
    await removeCheckpointsAfter(join(root, 'missing'), 1);
  });

  test('the same step again takes the place of the first', async () => {
    await save(3);
    await saveCheckpoint(directory, { ...content(3), state: 'second' });
    expect((await loadNewestCheckpoint(directory))!.state).toBe('second');
    expect(await readdir(directory)).toEqual(['3']);
  });

  test('a kill between the two renames of that leaves the second', async () => {
    await save(3);
    await rename(join(directory, '3'), join(directory, '.checkpoint-replaced'));
    await saveCheckpoint(root, { ...content(3), state: 'second' });
    await rename(join(root, '3'), join(directory, '.checkpoint-3'));
    expect(await hasLoadable(directory)).toBe(true);
    expect((await loadNewestCheckpoint(directory))!.state).toBe('second');
    await save(4);
    expect((await readdir(directory)).sort()).toEqual(['3', '4']);
  });

  test('what a killed writer left is skipped, and removed by the next save', async () => {
    await save(1);
    await mkdir(join(directory, '.checkpoint-2'));
    await writeFile(join(directory, '.checkpoint-2', 'arrays.bin'), 'half');
    expect((await loadNewestCheckpoint(directory))!.step).toBe(1);
    await save(2);
    expect((await readdir(directory)).sort()).toEqual(['1', '2']);
  });

  test('a save that fails after its arrays leaves the earlier checkpoint and nothing else', async () => {
    await save(1);
    const unwritable = {
      toJSON: () => {
        throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
      },
    };
    const failing = saveCheckpoint(directory, { ...content(2), state: unwritable as unknown as null });
    await expect(failing).rejects.toMatchObject({
      kind: 'failed_precondition',
      message: `${directory}: expected a directory that takes a checkpoint, got ENOSPC: no space left on device. Make room on its disk. Earlier checkpoints are untouched`,
    });
    expect(await readdir(directory)).toEqual(['1']);
    expect(await loadNewestCheckpoint(directory)).toEqual(content(1));
  });

  test('a directory that cannot be written is named', async () => {
    await writeFile(directory, 'a file');
    await expect(save(1)).rejects.toThrow(`${directory}: expected a directory that takes a checkpoint, got EEXIST`);
  });

  test('none gives null', async () => {
    expect(await loadNewestCheckpoint(directory)).toBeNull();
  });

  test('damage is refused by name: a short file, a flipped bit, missing files, a torn state, another format', async () => {
    const remedy = 'The checkpoint is damaged; remove its directory to go on from the one before';
    const messageAfter = async (damage: (path: string) => Promise<unknown>) => {
      const path = await save(4);
      await damage(path);
      return loadCheckpoint(path).then(
        () => 'was accepted',
        (error: Error) => error.message.replaceAll(path, 'PATH'),
      );
    };
    // 4 x 4 + 2 x 8 + 0 + 2 x 4 + 4 + 2 bytes
    expect(await messageAfter((path) => truncate(join(path, 'arrays.bin'), 45))).toBe(
      `PATH/arrays.bin: expected 46 bytes, got 45. ${remedy}`,
    );
    expect(
      await messageAfter(async (path) => {
        const file = await open(join(path, 'arrays.bin'), 'r+');
        await file.write(Uint8Array.of(1), 0, 1, 16); // the first byte of qpos
        await file.close();
      }),
    ).toMatch(/^PATH\/arrays\.bin: expected SHA-256 [0-9a-f]{64} of "qpos", got [0-9a-f]{64}\. The checkpoint/);
    expect(await messageAfter((path) => rm(join(path, 'arrays.bin')))).toContain('got ENOENT');
    expect(await messageAfter((path) => rm(join(path, 'checkpoint.json')))).toContain(
      'PATH/checkpoint.json: expected a checkpoint of format 1, got ENOENT',
    );
    expect(await messageAfter((path) => truncate(join(path, 'checkpoint.json'), 40))).toContain(
      'PATH/checkpoint.json: expected a checkpoint of format 1',
    );
    expect(await messageAfter((path) => replaceInState(path, '"format":1', '"format":2'))).toBe(
      'PATH/checkpoint.json: expected a checkpoint of format 1, got 2. Go on with the version of hyperpolicy that wrote it',
    );
    expect(await messageAfter((path) => replaceInState(path, '"length":4', '"length":"4"'))).toBe(
      `PATH/checkpoint.json: expected a checkpoint of format 1, got arrays.0.length: Invalid input: expected number, received string. ${remedy}`,
    );
    expect(await messageAfter((path) => writeFile(join(path, 'checkpoint.json'), '5'))).toContain(
      'PATH/checkpoint.json: expected a checkpoint of format 1, got Invalid input: expected object, received number',
    );
    // One bit of a digit.
    expect(await messageAfter((path) => replaceInState(path, '"share":0.1', '"share":0.3'))).toMatch(
      /^PATH\/checkpoint\.json: expected SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}\. The checkpoint is damaged/,
    );
  });

  test('that of a former version, whose state has no SHA-256, is loaded', async () => {
    const path = await save(4);
    await replaceInState(path, /,"sha256":"[0-9a-f]{64}"}$/, '}');
    expect(await loadCheckpoint(path)).toEqual(content(4));
  });
});
