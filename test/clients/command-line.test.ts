/** Commands that messages name can be given to a shell as they stand. */

import { execFileSync } from 'node:child_process';
import { Command } from 'commander';
import { expect, test } from 'vitest';
import { commandLine, ownCommand } from '../../clients/cli/command-line.ts';
import { createCommand, sameCommand } from '../../clients/cli/quickstart.ts';

test.runIf(process.platform !== 'win32')('a shell reads back the words', () => {
  const words = ['--run', 'my runs/a', "it's", '$HOME', '', 'x;y', 'runs/td3-seed0', '*', 'a\nb', '"'];
  const printed = execFileSync('sh', ['-c', `printf '%s\\0' ${commandLine(words)}`], { encoding: 'utf8' });
  expect(printed.split('\0').slice(0, -1)).toEqual(words);
});

test('words without a meaning to the shell stay as they are', () => {
  expect(commandLine(['hyperpolicy', 'train', 'td3', '--run', 'runs/my-td3-seed0', '--resume'])).toBe(
    'hyperpolicy train td3 --run runs/my-td3-seed0 --resume',
  );
});

test.each([
  [[], 'npm start'],
  [['--exit', '--port', '0'], 'npm start'],
  [['--runs', 'my runs', '--seed', '3'], "npm start -- --runs 'my runs' --seed 3"],
  [['--steps', '500', '--store', 's'], 'npm start -- --store s --steps 500'],
])('quickstart %j goes on with %s', (args, expected) => {
  const command = createCommand('quickstart').action(() => {});
  new Command().addCommand(command).parse(['quickstart', ...args], { from: 'user' });
  expect(sameCommand(command.opts())).toBe(expected);
});

test('what npx runs is named with npx', () => {
  expect(ownCommand({ npm_command: 'exec' })).toEqual(['npx', 'hyperpolicy']);
  expect(ownCommand({ npm_command: 'run-script' })).toEqual(['hyperpolicy']);
  expect(ownCommand({})).toEqual(['hyperpolicy']);
});
