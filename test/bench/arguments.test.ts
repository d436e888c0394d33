import { expect, test } from 'vitest';
import { helpText, readArguments } from './arguments.ts';

test('a bench with its options', () => {
  expect(readArguments(['serve', '--only', 'qgrad', '--rounds', '3'])).toEqual({
    name: 'serve',
    options: { only: 'qgrad', rounds: 3 },
  });
});

test('--help goes before everything else; the text has each bench and option', () => {
  expect(readArguments(['--help'])).toBeUndefined();
  expect(readArguments(['nothing', '-h'])).toBeUndefined();
  expect(helpText()).toContain('maml: one iteration');
  expect(helpText()).toContain('--episodes N');
});

test.each([
  [[], 'bench: expected one of clients, engine, envs, maml, pearl, robot, serve, train, got ""'],
  [['serve', 'train'], 'got "serve train"'],
  [['engine', '--rounds', '3'], 'bench engine: expected options among --json, --reference, got --rounds'],
  [
    ['serve', '--ronds', '3'],
    'bench serve: expected options among --json, --only, --rounds, --peers, --profile, got --ronds',
  ],
  [['robot', '--seconds', '1.5'], 'bench: --seconds: expected an integer from 1, got "1.5"'],
  [['serve', '--only'], 'bench: --only: expected NAME,..., got nothing'],
])('%j is refused', (given, message) => {
  expect(() => readArguments(given)).toThrow(message);
});
