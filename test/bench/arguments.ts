/** The benches and their options: help, and the arguments of one call. */

import { parseArgs } from 'node:util';
import { invalidArgument } from '../../src/contract/errors.ts';
import type { BenchOptions } from './options.ts';

type OptionName = keyof BenchOptions;

export type BenchInfo = {
  readonly measures: string;
  /** Beside `json`, which all take. */
  readonly options: readonly Exclude<OptionName, 'json'>[];
  /** What `--only` takes. */
  readonly only?: string;
  /** What the interpreter of `--reference` needs. */
  readonly reference?: string;
};

export const benchInfos = {
  clients: {
    measures: 'Act by the TypeScript and Python clients, beside the bare gRPC libraries',
    options: ['reference', 'rounds', 'seconds'],
    reference: 'pip install ./clients/python',
  },
  engine: {
    measures: 'training steps, second-order products and a dynamic network, beside PyTorch',
    options: ['reference'],
    reference: 'pip install torch',
  },
  envs: {
    measures: 'environment steps a second, beside Gymnasium and EnvPool',
    options: ['reference'],
    reference: 'pip install "gymnasium[mujoco]" envpool',
  },
  maml: {
    measures: 'one iteration of MAML at the size of its paper, beside PyTorch',
    options: ['reference', 'only', 'rounds', 'tasks', 'episodes'],
    only: 'policies, such as maml,hyper-maml',
    reference: 'pip install torch "gymnasium[mujoco]"',
  },
  pearl: {
    measures: 'updates of PEARL at the size of its paper, beside PyTorch',
    options: ['reference', 'only', 'rounds'],
    only: 'tasks of an update: 4,16',
    reference: 'pip install torch',
  },
  robot: {
    measures: "a robot's control loop at a server that is delayed, frozen and restarted",
    options: ['seconds', 'out'],
  },
  serve: {
    measures: 'the real server, beside a grpc-js echo of equal payload sizes',
    options: ['only', 'rounds', 'peers', 'profile'],
    only: 'parts of the names of figures, such as act_unary_,qgrad',
  },
  train: {
    measures: 'environment steps a second of TD3 and SAC, beside Stable-Baselines3, SBX and RLtools',
    options: ['reference', 'against', 'only', 'rounds'],
    only: 'td3_mlp,td3_sa_hyper,sac_mlp,sac_sa_hyper',
    reference: 'pip install torch stable-baselines3 "gymnasium[mujoco]" sbx-rl "rltools[mkl]"',
  },
} as const satisfies Readonly<Record<string, BenchInfo>>;

export type BenchName = keyof typeof benchInfos;

const infos: Readonly<Record<BenchName, BenchInfo>> = benchInfos;
const names = Object.keys(infos) as BenchName[];

const optionHelps: Readonly<Record<OptionName, { readonly value: string; readonly help: string }>> = {
  json: { value: 'FILE', help: 'write the figures to this file, as flat JSON' },
  reference: { value: 'PYTHON', help: 'Python interpreter of the reference; needs' },
  against: { value: 'NAME,...', help: 'compare only with these libraries: sb3,sbx,rltools' },
  only: { value: 'NAME,...', help: 'measure only these:' },
  rounds: { value: 'N', help: 'how often the sides are measured, by turns' },
  tasks: { value: 'N', help: 'tasks of an iteration' },
  episodes: { value: 'N', help: 'episodes of a task' },
  peers: { value: 'PYTHON', help: 'Python interpreter with the packages of other servers, to measure them too' },
  profile: { value: 'DIRECTORY', help: "write CPU profiles of the server's processes there" },
  seconds: { value: 'N', help: 'how long to measure, seconds' },
  out: { value: 'FILE', help: 'draw the cycles there, as SVG' },
};
const countNames = new Set<OptionName>(['rounds', 'tasks', 'episodes', 'seconds']);

/**
 * @returns the bench and its options; undefined if help was asked for
 * @throws HyperpolicyError invalid_argument: an unknown bench, an option that it does not take, or a value that does not fit
 */
export function readArguments(args: readonly string[]): { name: BenchName; options: BenchOptions } | undefined {
  const tokens = parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    options: textOptions(Object.keys(optionHelps)),
  });
  if (tokens.values.help === true) return undefined;
  const given = tokens.positionals.join(' ');
  const [name] = tokens.positionals as [BenchName?];
  const benches = `one of ${names.join(', ')}`;
  if (name === undefined || !names.includes(name)) throw refusal('bench', benches, `"${given}"`);
  const taken: readonly OptionName[] = ['json', ...infos[name].options];
  const options: Record<string, string | number> = {};
  for (const token of tokens.tokens) {
    if (token.kind !== 'option') continue;
    const option = token.name as OptionName;
    if (!taken.includes(option)) {
      throw refusal(`bench ${name}`, `options among --${taken.join(', --')}`, token.rawName);
    }
    options[option] = readValue(option, token.value);
  }
  if (tokens.positionals.length > 1) throw refusal('bench', benches, `"${given}"`);
  return { name, options };
}

function readValue(option: OptionName, text: string | undefined): string | number {
  const { value } = optionHelps[option];
  if (text === undefined || text === '') throw refusal(`bench: --${option}`, value, 'nothing');
  if (!countNames.has(option)) return text;
  const count = Number(text);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw refusal(`bench: --${option}`, 'an integer from 1', `"${text}"`);
}

const refusal = (where: string, expected: string, actual: string) =>
  invalidArgument({ where, expected, actual, remedy: '--help lists benches and options' });

const textOptions = (options: readonly string[]) => ({
  ...Object.fromEntries(options.map((option) => [option, { type: 'string' as const }])),
  help: { type: 'boolean' as const, short: 'h' },
});

export const helpText = (): string =>
  `Usage: npm run bench -- BENCH [options]

Runs one bench and prints its figures.

${names.map(benchHelp).join('\n\n')}

Every bench:
${optionLine('json', {})}
  --help                 this text
`;

const benchHelp = (name: BenchName): string =>
  [`${name}: ${infos[name].measures}`, ...infos[name].options.map((option) => optionLine(option, infos[name]))].join(
    '\n',
  );

function optionLine(option: OptionName, more: Partial<Pick<BenchInfo, 'only' | 'reference'>>): string {
  const { value, help } = optionHelps[option];
  const detail = option === 'only' || option === 'reference' ? ` ${more[option]}` : '';
  return `  ${`--${option} ${value}`.padEnd(22)} ${help}${detail}`;
}
