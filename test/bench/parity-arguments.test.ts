import { expect, test } from 'vitest';
import { readParityArguments } from './parity-arguments.ts';

const names = ['Ant-v5', 'Hopper-v5'];
const read = (...args: string[]) => readParityArguments(['--reference', 'python', ...args], names);

test('compares all environments from seed 1 unless told otherwise', () => {
  expect(read()).toEqual({ python: 'python', environments: names, seed: 1 });
  expect(read('--env', 'Hopper-v5').environments).toEqual(['Hopper-v5']);
});

test.each(['0', '4294967295'])('takes the seed %s', (seed) => {
  expect(read('--seed', seed).seed).toBe(Number(seed));
});

const usage = 'Usage: npm run parity -- --reference PYTHON [--env E ...] [--seed S]';

test.each(['4294967296', '-1', '1.5', '1e3', '', '0x10'])('refuses the seed "%s"', (seed) => {
  expect(() => read(`--seed=${seed}`)).toThrow(
    `parity: expected --seed to be an integer from 0 to 4294967295, got "${seed}". ${usage}`,
  );
});

test('refuses an environment without a reference, and no interpreter', () => {
  expect(() => read('--env', 'Cart')).toThrow(
    `parity: expected --env to be one of Ant-v5, Hopper-v5, got "Cart". ${usage}`,
  );
  expect(() => readParityArguments([], names)).toThrow(`parity: expected PYTHON of --reference, got nothing. ${usage}`);
});
