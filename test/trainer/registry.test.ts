/** What is shared by all algorithms names none of them. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { algorithmNames, loadAlgorithm } from '../../trainer/algorithms/registry.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

const filesIn = (folder: string, chosen: (name: string) => boolean = () => true) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.ts') && chosen(name))
    .map((name) => join(folder, name));

const sharedFiles = [
  ...['run', 'loops', 'off-policy', 'replay', 'engine', 'export'].flatMap((folder) => filesIn(`trainer/${folder}`)),
  'trainer/train.ts',
  ...filesIn('clients/cli', (name) => name.startsWith('train')),
];

test('no shared file holds the name of an algorithm', () => {
  expect(sharedFiles.length).toBeGreaterThan(40);
  expect(algorithmNames).toContain('td3');
  const names = new RegExp(`\\b(${algorithmNames.join('|')})`, 'i');
  // Architectures of networks have names of their own.
  const architectures = /'pearl-(encoder|hyper-critic)'/g;
  const text = (file: string) => readFileSync(join(root, file), 'utf8').replaceAll(architectures, '');
  expect(sharedFiles.filter((file) => names.test(text(file)))).toEqual([]);
});

test('every algorithm has a descriptor under its name, with settings that its defaults fill', async () => {
  for (const name of algorithmNames) {
    const algorithm = await loadAlgorithm(name);
    expect(algorithm.name).toBe(name);
    const defaults = algorithm.defaults({ environment: 'HalfCheetah-v5', algorithm: {}, loop: {} });
    expect(algorithm.schemas.algorithm.safeParse(defaults.algorithm).error).toBeUndefined();
    expect(algorithm.schemas.loop.safeParse(defaults.loop).error).toBeUndefined();
    expect(algorithm.resumable.every((setting) => setting in defaults.loop)).toBe(true);
  }
});

test('an unknown algorithm is refused by name', async () => {
  await expect(loadAlgorithm('ppo')).rejects.toThrow(
    `algorithm: expected one of ${algorithmNames.join(', ')}, got "ppo"`,
  );
  await expect(loadAlgorithm('constructor')).rejects.toThrow('got "constructor"');
  // From code that no compiler has checked.
  await expect(loadAlgorithm(undefined)).rejects.toThrow('got nothing');
});
