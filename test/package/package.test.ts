import { mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { plainSpec } from '../../src/contract/tensor-spec.ts';
import type { Manifest } from '../../src/package/manifest.ts';
import { listModels, type ManifestDraft, publishPackage, readPackage } from '../../src/package/package.ts';

let store: string;
beforeEach(async () => {
  store = await mkdtemp(join(tmpdir(), 'package-test-'));
});
afterEach(() => rm(store, { recursive: true, force: true }));

const draft: ManifestDraft = {
  algorithm: 'td3',
  environment: 'test',
  observation: plainSpec('o', 3),
  action: plainSpec('a', 1, { low: -1, high: 1 }),
  context: null,
  rewardScale: 1,
  normalisation: {},
  policy: {
    kind: 'plain',
    architecture: 'mlp',
    stochastic: false,
    graph: {
      file: 'policy.onnx',
      inputs: [{ name: 'observation', dtype: 'float32', shape: ['B', 3] }],
      outputs: [{ name: 'action', dtype: 'float32', shape: ['B', 1] }],
    },
  },
  critic: null,
  encoder: null,
  adapt: null,
  training: { config: {}, seed: 0, steps: 10, evaluations: [], sourceRevision: 'unknown' },
  probes: [{ target: 'policy', inputs: {}, outputs: {}, tolerance: 1e-5 }],
};
const files = new Map([['policy.onnx', new TextEncoder().encode('twelve bytes')]]);
const publish = (model = 'm', manifest = draft) => publishPackage({ store, model, manifest, files });

/** Runs `damage` on a fresh package and gives the message of reading it. */
async function messageAfter(damage: (directory: string) => Promise<unknown>): Promise<string> {
  const { directory } = await publish();
  await damage(directory);
  const error = await readPackage(directory).then(
    () => new Error('was accepted'),
    (error: Error) => error,
  );
  expect(error.name).toBe('HyperpolicyError');
  return error.message.replaceAll(store, 'STORE');
}

/** Gives a field of a package's manifest this JSON. */
async function edit(directory: string, field: string, json: string): Promise<void> {
  const path = join(directory, 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8'));
  await writeFile(path, JSON.stringify({ ...manifest, [field]: 'HERE' }).replace('"HERE"', json));
}

describe('publishPackage', () => {
  test('what is published is read back, version by version', async () => {
    const publishedAt = new Date('2026-01-02T03:04:05.678Z');
    const first = await publishPackage({ store, model: 'm', manifest: draft, files, publishedAt });
    const second = await publishPackage({ store, model: 'm', manifest: first.manifest, files });
    expect([first.version, second.version]).toEqual([1, 2]);
    expect(first.directory).toBe(join(store, 'm', '1'));
    const read = await readPackage(first.directory);
    expect(read).toEqual({ directory: first.directory, manifest: first.manifest, files: expect.any(Map) });
    expect(new TextDecoder().decode(read.files.get('policy.onnx'))).toBe('twelve bytes');
    expect(read.manifest).toMatchObject({
      format: '1.0',
      model: 'm',
      version: 1,
      training: { publishedAt: '2026-01-02T03:04:05.678Z' },
      // printf 'twelve bytes' | sha256sum
      files: {
        'policy.onnx': {
          bytes: 12,
          sha256: 'd4ce2c527afe674c7a086bd74e256019e3d5dcdb31eeb6eaadef5ada8c4383b9',
        },
      },
    });
    expect((await readPackage(second.directory)).manifest.version).toBe(2);
  });

  test('what a publisher left that was killed is removed a day later, and nothing else', async () => {
    const daysAgo = (days: number) => Date.now() / 1000 - days * 24 * 60 * 60;
    const folders = { '.publish-killed': 1.1, '.publish-at-work': 0.9, '.other': 9, '.publishing': 9 };
    for (const [name, days] of Object.entries(folders)) {
      await mkdir(join(store, name));
      await writeFile(join(store, name, 'policy.onnx'), 'half');
      await utimes(join(store, name), daysAgo(days), daysAgo(days));
    }
    await symlink(join(store, '.other'), join(store, '.publish-link'));
    await publish();
    expect((await readdir(store)).sort()).toEqual(['.other', '.publish-at-work', '.publish-link', '.publishing', 'm']);
    expect(await readdir(join(store, '.other'))).toEqual(['policy.onnx']);
  });

  test('publishers at once each get a version of their own', async () => {
    const published = await Promise.all(Array.from({ length: 8 }, () => publish()));
    expect(published.map(({ version }) => version).sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    for (const { directory } of published) await readPackage(directory);
    expect(await readdir(store)).toEqual(['m']);
  });

  test('a number is not used again while a higher one exists', async () => {
    await mkdir(join(store, 'm', '41'), { recursive: true });
    expect((await publish()).version).toBe(42);
  });

  test('refuses a bad model name, a path as file name and a manifest without its graph, and writes nothing', async () => {
    await expect(publish('../up')).rejects.toThrow(
      'model name: expected 1 to 64 of a-z 0-9 . _ - and a letter or digit first, got "../up"',
    );
    await expect(publish('x'.repeat(65))).rejects.toThrow('model name: expected 1 to 64');
    await expect(
      publishPackage({
        store,
        model: 'm',
        manifest: draft,
        files: new Map([...files, ['../evil', new Uint8Array(1)]]),
      }),
    ).rejects.toThrow('got "../evil"');
    await expect(publishPackage({ store, model: 'm', manifest: draft, files: new Map() })).rejects.toThrow(
      'manifest.json: expected graph file "policy.onnx" among files, got no files',
    );
    const inherited: ManifestDraft = JSON.parse(JSON.stringify(draft).replaceAll('policy.onnx', 'constructor'));
    await expect(publishPackage({ store, model: 'm', manifest: inherited, files: new Map() })).rejects.toThrow(
      'manifest.json: expected graph file "constructor" among files, got no files',
    );
    expect(await readdir(store)).toEqual([]);
  });

  test('refuses bounds that no action keeps, in a draft as in a manifest', async () => {
    const action = (low: number, high: number) => ({ ...draft, action: plainSpec('a', 1, { low, high }) });
    await expect(publish('m', action(1, 1))).rejects.toThrow(
      'publish "m" action value 0 ("a.0"): expected low below high, got 1 and 1',
    );
    await expect(publish('m', action(-1, Number.NaN))).rejects.toThrow('got -1 and NaN');
    const edited = await messageAfter(async (directory) => {
      const path = join(directory, 'manifest.json');
      const manifest = JSON.parse(await readFile(path, 'utf8')) as { action: { high: number[] } };
      manifest.action.high = [-2];
      await writeFile(path, JSON.stringify(manifest));
    });
    expect(edited).toBe('manifest.json action value 0 ("a.0"): expected low below high, got -1 and -2');
  });

  test('names the store where it cannot be written', async () => {
    const file = join(store, 'file');
    await writeFile(file, '');
    await expect(publishPackage({ store: file, model: 'm', manifest: draft, files })).rejects.toMatchObject({
      kind: 'failed_precondition',
      message: `${file}: expected a store that can be written, got ENOTDIR: not a directory`,
    });
  });

  test('leaves nothing behind where writing fails half way', async () => {
    // A name too long for the file system passes every earlier check.
    const tooLong = new Map([...files, ['x'.repeat(300), new Uint8Array(1)]]);
    await expect(publishPackage({ store, model: 'm', manifest: draft, files: tooLong })).rejects.toThrow(
      'expected a store that can be written, got ENAMETOOLONG: name too long',
    );
    expect(await readdir(store)).toEqual(['m']);
    expect(await listModels(store)).toEqual([]);
  });
});

describe('readPackage', () => {
  test('a truncated file', async () => {
    expect(await messageAfter((directory) => truncate(join(directory, 'policy.onnx'), 11))).toBe(
      'STORE/m/1/policy.onnx: expected 12 bytes, got 11. The package is damaged; publish it again',
    );
  });

  test('a flipped byte', async () => {
    const message = await messageAfter((directory) => writeFile(join(directory, 'policy.onnx'), 'Twelve bytes'));
    expect(message).toMatch(
      /^STORE\/m\/1\/policy.onnx: expected SHA-256 d4ce2c5[0-9a-f]+, got [0-9a-f]{64}\. The package is damaged; publish it again$/,
    );
  });

  test('a missing file, a missing manifest, a missing directory', async () => {
    expect(await messageAfter((directory) => rm(join(directory, 'policy.onnx')))).toBe(
      'STORE/m/1/policy.onnx: expected a file that can be read, got ENOENT: no such file or directory',
    );
    expect(await messageAfter((directory) => rm(join(directory, 'manifest.json')))).toBe(
      'STORE/m/2/manifest.json: expected a file that can be read, got ENOENT: no such file or directory',
    );
    await expect(readPackage(join(store, 'm', '9'))).rejects.toMatchObject({ kind: 'not_found' });
  });

  const editManifest = (from: string, to: string) => async (directory: string) => {
    const path = join(directory, 'manifest.json');
    const text = await readFile(path, 'utf8');
    expect(text).toContain(from);
    await writeFile(path, text.replace(from, to));
  };

  test('a manifest that is not JSON, of an unknown major, or of other names than its directory', async () => {
    expect(await messageAfter((directory) => truncate(join(directory, 'manifest.json'), 100))).toMatch(
      /^manifest.json: expected JSON, got text that does not parse/,
    );
    expect(await messageAfter(editManifest('"format": "1.0"', '"format": "2.0"'))).toBe(
      'manifest.json: expected format 1.x, got 2.0. Read it with the release that wrote it',
    );
    expect(await messageAfter(editManifest('"version": 3', '"version": 7'))).toBe(
      'STORE/m/3/manifest.json: expected version "3" as the directory is named, got "7"',
    );
    expect(await messageAfter(editManifest('"model": "m"', '"model": "n"'))).toBe(
      'STORE/m/4/manifest.json: expected model "m" as the directory is named, got "n"',
    );
  });

  const listed = (count: number, entry: string) => `[${Array.from({ length: count }, () => entry).join(',')}]`;
  test.each([
    [
      'probes that are too many',
      'probes',
      listed(65, '0'),
      'expected a valid "probes", got expected at most 64 entries',
    ],
    [
      'names that are too many',
      'observation',
      `{"names":${listed(2 ** 16 + 1, '0')},"low":[],"high":[],"units":[]}`,
      'expected a valid "observation.names", got expected at most 65536 entries',
    ],
    [
      'values that are none',
      'normalisation',
      `{"mean":${listed(3, '"0"')}}`,
      'expected a valid "normalisation.mean", got expected a list of finite numbers',
    ],
    [
      'many lists',
      'anything',
      listed(2 ** 18, '[]'),
      'expected JSON, got text that does not parse (more than 262144 lists, objects and fields)',
    ],
  ])('a manifest with %s, of whose entries none is looked at', async (_, field, content, reason) => {
    const message = await messageAfter((directory) => edit(directory, field, content));
    expect(message).toBe(`manifest.json: ${reason}`);
  });

  test('a manifest that is no object', async () => {
    expect(await messageAfter((directory) => writeFile(join(directory, 'manifest.json'), 'null'))).toBe(
      'manifest.json: expected an object, got Invalid input: expected object, received null',
    );
  });

  test('a manifest that is too large, which is not published either', async () => {
    const bytes = 16 * 1024 * 1024;
    expect(await messageAfter((directory) => truncate(join(directory, 'manifest.json'), bytes + 1))).toContain(
      `manifest.json: expected at most ${bytes} bytes, got ${bytes + 1}`,
    );
    const values = Array.from({ length: 1_500_000 }, (_, i) => i);
    const [probe] = draft.probes;
    const probes = [{ ...probe!, outputs: { action: { shape: [values.length], values } } }];
    await expect(publish('large', { ...draft, probes })).rejects.toThrow(
      /^publish "large": expected a manifest of at most 16777216 bytes, got \d+\. Most of it is probes/,
    );
  });

  test.each(['yesterday', '', '2026-01-02', '2026-02-30T00:00:00Z', '2026-01-02T03:04:05'])(
    'a manifest whose time of publication is "%s"',
    async (publishedAt) => {
      const path = (directory: string) => join(directory, 'manifest.json');
      const message = await messageAfter(async (directory) => {
        const { training } = JSON.parse(await readFile(path(directory), 'utf8')) as Manifest;
        await edit(directory, 'training', JSON.stringify({ ...training, publishedAt }));
      });
      expect(message).toBe('manifest.json: expected a valid "training.publishedAt", got Invalid ISO datetime');
    },
  );

  test('a manifest that lists a file outside its directory', async () => {
    const outside = `"files": {\n    "../1/policy.onnx": { "bytes": 0, "sha256": "${'0'.repeat(64)}" },`;
    expect(await messageAfter(editManifest('"files": {', outside))).toContain('got "../1/policy.onnx"');
  });
});

describe('listModels', () => {
  test('lists models and versions in order, and skips everything else', async () => {
    for (const path of [
      'b/2',
      'b/10',
      'b/1',
      'b/01',
      'b/latest',
      'b/-1',
      'b/.publish-x',
      'a.b-c/7',
      'empty',
      'Upper/1',
    ]) {
      await mkdir(join(store, path), { recursive: true });
    }
    await mkdir(join(store, '.publish-0b0e', 'm'), { recursive: true }); // a publisher that was killed
    await writeFile(join(store, 'b', '3'), '');
    await writeFile(join(store, 'notes.txt'), '');
    expect(await listModels(store)).toEqual([
      { model: 'a.b-c', versions: [7] },
      { model: 'b', versions: [1, 2, 10] },
    ]);
    expect((await publish('b')).version).toBe(11);
  });

  test('names a missing store', async () => {
    const missing = join(store, 'missing');
    await expect(listModels(missing)).rejects.toMatchObject({
      kind: 'not_found',
      message: `${missing}: expected a store that can be read, got ENOENT: no such file or directory`,
    });
  });
});
