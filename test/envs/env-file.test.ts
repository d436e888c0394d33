/** A user's own environment from a file. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createEnvironment, environmentNames } from '../../src/envs/registry.ts';
import { envCases } from '../compliance/env-cases.ts';

const file = (name: string) => `${import.meta.dirname}/files/${name}.js`;

describe('a task in a file', () => {
  it.each(envCases)('$name', async ({ check }) => {
    await check(() => createEnvironment(file('cart')));
  });

  it('is found relative to the working directory', async () => {
    const env = await createEnvironment('./test/envs/files/cart.js');
    expect(env.name).toBe('cart');
  });
});

describe("the README's example", () => {
  const folder = mkdtempSync(join(tmpdir(), 'hyperpolicy-env-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const readme = readFileSync(`${import.meta.dirname}/../../src/envs/README.md`, 'utf8');
  const path = join(folder, 'cart.js');
  writeFileSync(path, /```js\n(.*?)```/s.exec(readme)![1]!);
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');

  it.each(envCases)('$name', async ({ check }) => {
    await check(() => createEnvironment(path));
  });

  it('is beside a table that names every environment', () => {
    const names = new Set(
      readme.split('\n').flatMap((line) => {
        const cell = line.startsWith('| `') ? line.split('|')[1]! : '';
        const [first, ...suffixes] = [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
        // `-v4` after `Hopper-v5` stands for `Hopper-v4`, `-Vel-Medium` after `HalfCheetah-Vel` likewise.
        const base = first?.replace(/-(v5|Vel)$/, '');
        return first === undefined
          ? []
          : [first, ...suffixes.map((name) => (name.startsWith('-') ? base + name : name))];
      }),
    );
    expect([...names].sort()).toEqual(environmentNames);
  });
});

describe('a file is refused', () => {
  it.each([
    ['missing', 'environment: expected a file at '],
    ['no-default', 'expected a default export that is a function, got none'],
    ['throws', 'expected a JavaScript module that loads, got Error: at load'],
    [
      'broken',
      'expected an environment with begin, advance, observe, capture, reinstate, got none of observe, capture',
    ],
    ['no-bounds', 'expected specs.action with names, low, high and units, got '],
  ])('where it is %s', async (name, message) => {
    await expect(createEnvironment(file(name))).rejects.toThrow(message);
  });
});
