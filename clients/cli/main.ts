#!/usr/bin/env node
/** The `hyperpolicy` command: finds the subcommand, loads only that one, and turns every error into one line and an exit code. */

import { Console } from 'node:console';
import { createRequire } from 'node:module';
import { Command, CommanderError, Help, type Option } from 'commander';
import { exitCodes, failureText } from './failure.ts';
import { withSuggestion } from './suggestions.ts';

type Subcommand = {
  readonly summary: string;
  readonly load: () => Promise<{
    /** @param args after the name */
    readonly createCommand: (name: string, args: readonly string[]) => Command | Promise<Command>;
  }>;
};

/** One line per subcommand; each is a file that exports `createCommand`. */
const subcommands: Readonly<Record<string, Subcommand>> = {
  quickstart: {
    summary: 'train, publish, serve and drive an episode, in a few minutes',
    load: () => import('./quickstart.ts'),
  },
  serve: { summary: 'serve the models of a store over gRPC', load: () => import('./serve.ts') },
  models: { summary: 'list and show models, choose versions, make random ones', load: () => import('./models.ts') },
  train: { summary: 'train a policy and publish it', load: () => import('./train.ts') },
  plot: { summary: 'draw learning curves of runs', load: () => import('./plot.ts') },
  report: { summary: 'write an HTML page about runs', load: () => import('./report.ts') },
  sweep: { summary: 'train a grid of settings, and print one table', load: () => import('./sweep.ts') },
  analyse: {
    summary: 'study what was trained: gradients, weights, noise',
    load: () => import('./analyse.ts'),
  },
  environments: { summary: 'list every environment with its sizes and tasks', load: () => import('./environments.ts') },
  architectures: { summary: 'list every network with its costs', load: () => import('./architectures.ts') },
  import: { summary: 'publish a network from a safetensors file', load: () => import('./import.ts') },
  act: { summary: 'ask a server for actions', load: () => import('./act.ts') },
  qgrad: { summary: 'ask a server for values and action-gradients', load: () => import('./qgrad.ts') },
  adapt: { summary: 'adapt a model of a server to experience', load: () => import('./adapt.ts') },
  rollout: { summary: 'run an environment under a policy and draw it', load: () => import('./rollout.ts') },
  eval: { summary: "drive a model's environment through a server", load: () => import('./eval.ts') },
};

/** Of package.json, two folders above the built file. */
const { version } = createRequire(import.meta.url)('../../../package.json') as { version: string };

async function createProgram([asked, ...args]: readonly string[]): Promise<Command> {
  const program = new Command('hyperpolicy')
    .description('Train hypernetwork policies and critics, and serve them over gRPC.')
    .version(version, '-V, --version')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  for (const [name, { summary, load }] of Object.entries(subcommands)) {
    const isAsked = name === asked;
    const command = isAsked ? await (await load()).createCommand(name, args) : new Command(name).description(summary);
    inherit(command, program);
    program.addCommand(command);
  }
  return program;
}

/** Of every command: a wide column of flags leaves room for descriptions, which commander would then not wrap; and what must be given is told. */
const helpStyle = {
  minWidthToWrap: 20,
  optionDescription(this: Help, option: Option): string {
    const description = Help.prototype.optionDescription.call(this, option);
    return option.mandatory ? `${description} (required)` : description;
  },
};

/** Settings that commander does not hand down to commands that are added. */
function inherit(command: Command, parent: Command): void {
  const help = command.configureHelp();
  command
    .copyInheritedSettings(parent)
    .configureHelp({ ...helpStyle, ...help })
    .exitOverride((error) => {
      throw withSuggestion(error, command);
    })
    .summary(subcommands[command.name()]?.summary ?? command.summary());
  for (const child of command.commands) inherit(child, command);
}

/** `help models label` as `models label --help`: commander's own `help` reads one name. */
const withoutDeepHelp = (argv: readonly string[]): readonly string[] =>
  argv[0] === 'help' && argv.length > 2 ? [...argv.slice(1), '--help'] : argv;

/**
 * `nothing --help`, `help nothing` and `models help nothing` as `nothing` and `models nothing`, which commander refuses: it would print the help
 * of the commands that there are.
 */
function withoutHelpOfUnknown(program: Command, argv: readonly string[]): string[] {
  const flagAt = argv.findIndex((word) => word.startsWith('-'));
  const words = argv.slice(0, flagAt < 0 ? argv.length : flagAt).filter((word) => word !== 'help');
  let { commands } = program;
  for (const [i, word] of words.entries()) {
    // What comes behind are its arguments.
    if (commands.length === 0) break;
    const named = commands.find((command) => command.name() === word);
    if (named === undefined) return words.slice(0, i + 1);
    ({ commands } = named);
  }
  return [...argv];
}

async function main(given: readonly string[]): Promise<number> {
  const argv = withoutDeepHelp(given);
  try {
    const program = await createProgram(argv[0] === 'help' ? argv.slice(1) : argv);
    if (argv.length === 0) {
      program.outputHelp();
      return exitCodes.ok;
    }
    await program.parseAsync(withoutHelpOfUnknown(program, argv), { from: 'user' });
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.ok;
    const { text, exitCode } = failureText(error);
    process.stderr.write(`hyperpolicy: ${text}\n`);
    return exitCode;
  }
}

// A reader that has enough, such as `head`, closes the pipe: no error.
let isOutputLost = false;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE' || isOutputLost) return;
  isOutputLost = true;
  const fault = `standard output: expected one that takes what is printed, got ${error.message}`;
  process.stderr.write(`hyperpolicy: ${fault}\n`);
  process.exitCode = exitCodes.failure;
});
// A pipe that ended or a terminal that was closed takes no more lines of progress; that is no reason to stop.
process.stderr.on('error', () => {});
// What an environment file prints is no result of the command.
globalThis.console = new Console(process.stderr);
// Not `process.exit`, which would cut off what is still being written to standard output.
const exitCode = await main(process.argv.slice(2));
process.exitCode = isOutputLost ? exitCodes.failure : exitCode;
