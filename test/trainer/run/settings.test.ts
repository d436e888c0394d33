/** Settings from flags, files and code: what is accepted, what overrides what, and how the rest is refused. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import os, { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { meant, nearest } from '../../../src/contract/nearest.ts';
import { environmentNames } from '../../../src/envs/registry.ts';
import { type CriticConfig, createCritic } from '../../../src/nn/critics/registry.ts';
import { criticNames } from '../../../src/nn/names.ts';
import type { PearlConfig } from '../../../trainer/algorithms/pearl/config.ts';
import { loadAlgorithm } from '../../../trainer/algorithms/registry.ts';
import { td3Defaults } from '../../../trainer/algorithms/td3/config.ts';
import { offPolicyDefaults } from '../../../trainer/loops/off-policy-config.ts';
import { completeConfig, merged } from '../../../trainer/run/complete-config.ts';
import type { GivenConfig } from '../../../trainer/run/config.ts';
import { readConfigFile } from '../../../trainer/run/config-file.ts';
import {
  type Given,
  isResumable,
  newConfig,
  resumedConfig,
  settingFlags,
} from '../../../trainer/run/given-settings.ts';
import { requireSameRun } from '../../../trainer/run/same-run.ts';
import { shownFlags } from '../../../trainer/run/shown-defaults.ts';
import { unusedSettings } from '../../../trainer/run/unused-settings.ts';

const td3 = await loadAlgorithm('td3');
const scratch = mkdtempSync(join(tmpdir(), 'settings-test-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(scratch, name);
  writeFileSync(path, content);
  return path;
}

const given = (options: Partial<Given> = {}): Given => ({
  flags: [],
  publish: {},
  publishDefaults: { which: 'best', store: 'models' },
  ...options,
});

/** A flag as the command line gives it. */
function flag(name: string, text: string) {
  const found = settingFlags(td3).find((one) => one.flag.startsWith(`${name} `))!;
  const parsed = found.parse(text);
  if ('expected' in parsed) throw new Error(parsed.expected);
  return { ...found, value: parsed.value };
}

const whole = { environment: 'Pendulum-v1', threadCount: 1 };

describe('a whole config', () => {
  test('has defaults where nothing is given, and those that depend on what is', () => {
    const hyper = completeConfig(td3, whole);
    expect(hyper).toMatchObject({
      environment: 'Pendulum-v1',
      algorithm: { name: 'td3', ...td3Defaults({ architecture: 'sa-hyper' }) },
      loop: offPolicyDefaults,
    });
    const plain = completeConfig(td3, { ...whole, algorithm: { critic: { architecture: 'mlp-small' } } });
    expect(plain.algorithm).toMatchObject({ criticLearningRate: 3e-4 });
    expect(hyper.algorithm).toMatchObject({ criticLearningRate: 5e-5 });
  });

  test("has the values of the TD3 authors' code with their preset, the loop's warm-up among them, unless others are given", () => {
    const upstream = completeConfig(td3, { ...whole, algorithm: { preset: 'td3' } });
    expect(upstream.algorithm).toMatchObject({ preset: 'td3', batchSize: 256, criticLearningRate: 3e-4 });
    expect(upstream.loop).toEqual({ ...offPolicyDefaults, warmUpStepCount: 25_000 });
    const given = { algorithm: { preset: 'td3', batchSize: 8 }, loop: { warmUpStepCount: 5 } };
    const mixed = completeConfig(td3, { ...whole, ...given });
    expect(mixed).toMatchObject(given);
    expect(() => completeConfig(td3, { ...whole, algorithm: { preset: 'sac' } })).toThrow(
      'config: algorithm.preset: expected one of paper, td3, got "sac"',
    );
  });

  const paper = {
    ...{ trunkSizes: [256, 512, 1024], dynamicHiddenSizes: [256], initialisation: 'hyperl' },
    ...{ trunkLayerNorm: false, dynamicDense: false },
  };
  const hyperPearl = { agent: 'oracle-context', networks: 'hyper' };
  test.each([
    ['td3', {}, { critic: { architecture: 'sa-hyper', ...paper }, hyperPolicy: undefined, contextUnits: undefined }],
    [
      'sac',
      { policy: 'hyper', hyperPolicy: { trunkSizes: [8] }, critic: { architecture: 'resnet-features' } },
      {
        ...{ critic: { architecture: 'resnet-features', trunkSizes: paper.trunkSizes }, contextUnits: 'range' },
        hyperPolicy: { ...paper, trunkSizes: [8] },
        actorHiddenSizes: undefined,
      },
    ],
    ['td3', { policy: 'mlp' }, { contextUnits: 'range', hyperPolicy: undefined, actorHiddenSizes: [256, 256] }],
    [
      'td3',
      { critic: { architecture: 'mlp-large' } },
      { critic: { architecture: 'mlp-large', hiddenSizes: [2900, 2900] } },
    ],
    ['td3', { critic: { architecture: 'q-d2rl' } }, { critic: { architecture: 'q-d2rl' } }],
    [
      'td3',
      { critic: { architecture: 'emb-hyper', dynamicHiddenSizes: [4], headRank: 2 } },
      { critic: { architecture: 'emb-hyper', ...paper, dynamicHiddenSizes: [4], headRank: 2 } },
    ],
    ['maml', {}, { hyper: paper, hiddenSizes: undefined }],
    ['maml', { policy: 'context-maml' }, { hyper: undefined, hiddenSizes: [100, 100] }],
    [
      'pearl',
      {},
      {
        hyper: { ...paper, trunkSizes: [64], dynamicHiddenSizes: [32], initialisation: 'hfi' },
        hiddenSizes: undefined,
      },
    ],
    ['pearl', hyperPearl, { encoder: { architecture: 'pearl-encoder', hiddenSizes: [64, 64] } }],
    [
      'pearl',
      { agent: 'pearl' },
      {
        ...{ hyper: undefined, hiddenSizes: [64, 64] },
        encoder: { architecture: 'pearl-encoder', hiddenSizes: [64, 64], aggregation: 'product' },
      },
    ],
    [
      'pearl',
      { encoder: { architecture: 'pearl-gru-encoder' } },
      { encoder: { architecture: 'pearl-gru-encoder', hiddenSizes: [64, 64] } },
    ],
  ])('of %s with %j has what its networks read, and comes back unchanged', async (name, settings, expected) => {
    const algorithm = await loadAlgorithm(name);
    const config = completeConfig(algorithm, { environment: 'Point-Robot', threadCount: 1, algorithm: settings });
    const shown = config.algorithm as unknown as Record<string, unknown>;
    expect(Object.fromEntries(Object.keys(expected).map((key) => [key, shown[key]]))).toEqual(expected);
    expect(completeConfig(algorithm, JSON.parse(JSON.stringify(config)))).toEqual(config);
  });

  test.each(criticNames)('has the options that the critic %s has without them', (architecture) => {
    const sizes = { observationSize: 3, actionSize: 2, ensembleSize: 1 } as const;
    const shapesOf = (critic: CriticConfig) =>
      Object.entries(createCritic(critic, sizes).specs).map(([name, { shape }]) => [name, shape]);
    const { critic } = completeConfig(td3, { ...whole, algorithm: { critic: { architecture } } })
      .algorithm as unknown as { critic: CriticConfig };
    expect(shapesOf(critic)).toEqual(shapesOf({ architecture }));
  });

  test.each([
    [
      { algorithm: { batchsize: 7 } },
      'algorithm.batchsize: expected a setting that exists, got an unknown one. Did you mean algorithm.batchSize? --print-config shows all',
    ],
    [{ algorithm: { critic: { trunk: [7] } } }, 'algorithm.critic.trunk: expected a setting that exists'],
    [
      { algoritm: {} },
      'algoritm: expected a setting that exists, got an unknown one. Did you mean algorithm? --print-config shows all',
    ],
    [
      { algorithm: { critc: { trunkSizes: [7] } } },
      'algorithm.critc: expected a setting that exists, got an unknown one. Did you mean algorithm.critic? --print-config shows all',
    ],
    [{ colour: 'red' }, 'colour: expected a setting that exists, got an unknown one. --print-config shows all'],
    // Known, but in another group.
    [{ stepCount: 5 }, 'stepCount: expected a setting that exists, got an unknown one. Did you mean loop.stepCount?'],
    [{ loop: { stepCount: 0 } }, 'loop.stepCount: expected an integer from 1 to 2147483647, got 0'],
    [
      { loop: { stepCount: Number.POSITIVE_INFINITY } },
      'loop.stepCount: expected an integer from 1 to 2147483647, got Infinity',
    ],
    [
      { algorithm: { critic: { trunkSizes: [8, Number.NaN] } } },
      'algorithm.critic.trunkSizes.1: expected widths of 1 to 65536, got NaN',
    ],
    [{ loop: { stepCount: '1e6' } }, 'loop.stepCount: expected an integer from 1 to 2147483647, got "1e6"'],
    [{ algorithm: { gamma: 1 } }, 'algorithm.gamma: expected a number of at least 0 and below 1, got 1'],
    [
      { algorithm: { critic: { trunkSizes: [0] } } },
      'algorithm.critic.trunkSizes: expected widths of 1 to 65536, got [0]',
    ],
    [{ algorithm: 'td3' }, 'algorithm: expected an object of settings, got "td3"'],
    [{ algorithm: { name: 'sac' } }, 'algorithm.name: expected "td3", got "sac"'],
    [{ engine: 'torch' }, 'engine: expected one of traced, tensorflow, cpu, got "torch"'],
    [{ publish: 'best' }, 'publish: expected an object of settings, got "best"'],
    [{ environment: undefined }, 'environment: expected a text, got nothing'],
  ])('refuses %j', (wrong, message) => {
    const { environment, ...rest } = { ...whole, ...wrong } as Record<string, unknown>;
    const config = environment === undefined ? rest : { environment, ...rest };
    expect(() => completeConfig(td3, config, 'my.yaml')).toThrow(`my.yaml: ${message}`);
  });
});

test('nearest names the setting that was meant, wherever it stands', () => {
  const known = ['loop.stepCount', 'loop.seed', 'algorithm.batchSize', 'algorithm.critic.architecture'];
  expect(nearest('loop.stepcount', known)).toBe('loop.stepCount');
  expect(nearest('batchSizes', known)).toBe('algorithm.batchSize');
  expect(nearest('algorithm.arcitecture', known)).toBe('algorithm.critic.architecture');
  expect(nearest('loop.sede', known)).toBe('loop.seed');
  // Two letters swapped are one change.
  expect(meant('stpes', ['trunk', 'steps', 'envs'])).toBe('steps');
  expect(meant('gird', ['name', 'grid'])).toBe('grid');
  // In another group, and of no other in the same one.
  expect(meant('stepcount', known)).toBe('loop.stepCount');
  expect(meant('algorithm.critic.bias', known)).toBe(undefined);
});

describe('flags', () => {
  test.each([
    ['--steps', '1e6', 1_000_000],
    ['--steps', '1_500', 1_500],
    ['--seed', '0', 0],
    ['--actor-lr', '3e-4', 3e-4],
    ['--trunk', '64,128', [64, 128]],
    ['--keep-at', '50,1e3', [50, 1000]],
    ['--critic', 'mlp-standard', 'mlp-standard'],
  ])('%s %s', (name, text, value) => {
    expect(flag(name, text).value).toEqual(value);
  });

  test.each([
    ['--steps', '1.5', 'an integer from 1 to 2147483647'],
    ['--steps', '', 'an integer from 1 to 2147483647'],
    ['--steps', '1__0', 'an integer from 1 to 2147483647'],
    ['--actor-lr', '0', 'a number above 0 and at most 1'],
    ['--tau', 'Infinity', 'a number above 0 and at most 1'],
    // More would be half a minute without a step, or as long without an answer to Ctrl-C.
    ['--updates-per-step', '1e9', 'a number above 0 and at most 10000'],
    ['--policy-delay', '1e4', 'an integer from 1 to 1000'],
    ['--keep-at', '50,0', 'steps from 1 to 2147483647 with commas between'],
    ['--trunk', '64,', 'widths of 1 to 65536 with commas between: 256,512,1024'],
  ])('%s "%s" is refused', (name, text, expected) => {
    expect(() => flag(name, text)).toThrow(expected);
  });
});

test.each([
  ['maml', '--inner-steps', 'an integer from 0 to 20'],
  ['maml', '--tasks', 'an integer from 1 to 10000'],
  ['maml', '--eval-tasks', 'an integer from 1 to 10000'],
  ['pearl', '--tasks', 'an integer from 1 to 10000'],
  ['pearl', '--train-tasks', 'an integer from 1 to 10000'],
  ['pearl', '--eval-tasks', 'an integer from 1 to 10000'],
  ['pearl', '--meta-batch', 'an integer from 1 to 10000'],
  ['pearl', '--batch-size', 'an integer from 1 to 100000'],
  ['pearl', '--context-batch', 'an integer from 1 to 100000'],
  ['td3', '--batch-size', 'an integer from 1 to 100000'],
  ['sac', '--batch-size', 'an integer from 1 to 100000'],
])('%s %s has an upper bound', async (algorithm, name, expected) => {
  const found = settingFlags(await loadAlgorithm(algorithm)).find(({ flag: text }) => text.startsWith(`${name} `))!;
  expect(found.parse('1e9')).toEqual({ expected });
});

describe('defaults in the help', () => {
  const shownOf = async (name: string) => {
    const flags = shownFlags(await loadAlgorithm(name));
    return new Map(flags.map(({ flag: text, shown }) => [text.split(' ')[0], shown]));
  };

  // Hopper's rate of SAC's actor is 0.00002, that of MLP critics and of the preset sac is 0.0003, that of hyper policies 0.0001.
  test.each([
    ['td3', '--batch-size', '100; changes with --preset'],
    ['td3', '--warm-up', '1000; changes with --preset'],
    ['td3', '--actor-lr', '0.0003; changes with --policy'],
    ['td3', '--critic-lr', '0.00005; changes with --preset, --critic'],
    ['td3', '--preset', 'paper'],
    ['td3', '--init', 'hyperl'],
    ['td3', '--policy-init', 'hyperl'],
    ['sac', '--policy-trunk', '256,512,1024'],
    ['td3', '--trunk', '256,512,1024'],
    ['sac', '--actor-lr', '0.0001; changes with --env, --preset, --policy, --critic'],
    ['sac', '--critic-lr', '0.00005; changes with --preset, --critic'],
    ['sac', '--batch-size', '256'],
    ['sac', '--temperature', 'fixed for the preset paper, else learned'],
    ['maml', '--inner-steps', '1; changes with --policy'],
    ['maml', '--tasks', '40'],
    ['pearl', '--gamma', '0.99; changes with --env'],
    ['pearl', '--policy-lr', '0.0001; changes with --env, --agent, --networks'],
    ['pearl', '--meta-batch', '16; changes with --env'],
    ['pearl', '--init', 'hyperl; changes with --env'],
    ['pearl', '--trunk', '256,512,1024; changes with --env'],
    ['pearl', '--latent', '5'],
  ])('%s %s: %s', async (algorithm, name, text) => {
    expect((await shownOf(algorithm)).get(name)).toBe(text);
  });

  test.each(['td3', 'sac', 'maml', 'pearl'])('%s: a figure alone holds beside all pairs of choices', async (name) => {
    const algorithm = await loadAlgorithm(name);
    const flags = shownFlags(algorithm);
    const alone = flags.filter(({ defaultText, shown }) => defaultText === undefined && !shown?.includes('changes'));
    const choices: GivenConfig[] = flags
      .filter(({ path: [group] }) => group === 'algorithm')
      .flatMap(({ path, choices: values = [] }) =>
        values.map((value) => path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as GivenConfig),
      );
    const pairs = choices.flatMap((one) => choices.map((other) => merged(one, other)));
    const at = (settings: unknown, path: readonly string[]) =>
      path.reduce<unknown>((inner, key) => (inner as GivenConfig | undefined)?.[key], settings);
    const wrong = new Set<string>();
    for (const environment of environmentNames) {
      for (const pair of pairs) {
        const defaults = algorithm.defaults({ environment, algorithm: {}, loop: {}, ...pair });
        for (const { path, shown } of alone) {
          const value = at(pair, path) === undefined ? at(defaults, path) : undefined;
          if (value !== undefined && String(value) !== shown) wrong.add(`${path.join('.')} ${shown}: ${value}`);
        }
      }
    }
    expect([...wrong]).toEqual([]);
  });
});

describe('config files', () => {
  test('YAML and JSON say the same; flags override the file, which overrides the defaults', () => {
    const settings = { environment: 'Pendulum-v1', algorithm: { batchSize: 32 }, loop: { stepCount: 1000, seed: 4 } };
    const json = file('a.json', JSON.stringify(settings));
    const yaml = file(
      'a.yaml',
      '# A comment.\nenvironment: Pendulum-v1\nalgorithm: { batchSize: 32 }\nloop:\n  stepCount: 1e3\n  seed: 4\n',
    );
    expect(readConfigFile(yaml)).toEqual(settings);
    expect(readConfigFile(json)).toEqual(settings);
    const config = newConfig(td3, given({ file: yaml, flags: [flag('--seed', '5'), flag('--critic', 'mlp-small')] }));
    expect(config).toMatchObject({
      environment: 'Pendulum-v1',
      algorithm: { batchSize: 32, critic: { architecture: 'mlp-small' }, criticLearningRate: 3e-4, gamma: 0.99 },
      loop: { stepCount: 1000, seed: 5, warmUpStepCount: 1000 },
      publish: { which: 'best', store: 'models', model: 'pendulum-v1-td3-mlp-small-seed5' },
    });
    expect(newConfig(td3, given({ file: json, flags: [flag('--seed', '5'), flag('--critic', 'mlp-small')] }))).toEqual(
      config,
    );
  });

  test('name a model after its policy too, where there are tasks: three kinds are trained on them', () => {
    const nameOf = (policy: string) => newConfig(td3, given({ flags: [flag('--policy', policy)] })).publish.model;
    expect(nameOf('hyper')).toBe('halfcheetah-v5-td3-hyper-policy-sa-hyper-seed0');
    expect(nameOf('context-mlp')).toBe('halfcheetah-v5-td3-context-mlp-policy-sa-hyper-seed0');
  });

  test.each([
    ['HalfCheetah-Vel-Medium', 'context-mlp', 0, 'halfcheetah-vel-medium-td3-context-mlp-policy-mlp-small'],
    ['HalfCheetah-Vel-Medium', 'context-mlp', 9999, 'halfcheetah-vel-medium-td3-context-mlp-policy-mlp-small'],
    ['Walker2d-Rand-Params', 'context-mlp', 0, 'walker2d-rand-params-td3-context-mlp-policy-mlp-small'],
    ['./my envs/Mass & spring.mjs', 'mlp', 1, 'mass-spring-td3-mlp-policy-mlp-small'],
  ])('name a model so that the store takes it: %s, %s, seed %i', (env, policy, seed, name) => {
    const flags = [
      flag('--env', env),
      flag('--policy', policy),
      flag('--seed', String(seed)),
      flag('--critic', 'mlp-small'),
    ];
    expect(newConfig(td3, given({ flags })).publish.model).toBe(`${name}-seed${seed}`);
  });

  test('a name that would be too long is cut, and differs where the whole one does', () => {
    const nameOf = (critic: string, seed: number) => {
      const long = [flag('--env', 'HalfCheetah-Vel-Medium'), flag('--policy', 'context-mlp')];
      const flags = [...long, flag('--critic', critic), flag('--seed', String(seed))];
      return newConfig(td3, given({ flags })).publish.model;
    };
    const names = ['resnet-features', 'mlp-standard'].flatMap((critic) =>
      [0, 10, 2 ** 40].map((seed) => nameOf(critic, seed)),
    );
    for (const name of names)
      expect(name).toMatch(/^halfcheetah-vel-medium-td3-context-mlp[a-z-]*-[0-9a-f]{6}-seed\d+$/);
    expect(Math.max(...names.map((name) => name.length))).toBeLessThanOrEqual(64);
    expect(new Set(names).size).toBe(names.length);
    expect(names[1]).toBe(names[0]!.replace(/0$/, '10'));
  });

  test('what is published: flags, file and defaults alike', () => {
    const yaml = file('publish.yaml', 'publish: { model: mine, which: last }\n');
    expect(newConfig(td3, given({ file: yaml })).publish).toEqual({ which: 'last', store: 'models', model: 'mine' });
    const flags = given({ file: yaml, publish: { which: 'none', model: 'yours' } });
    expect(newConfig(td3, flags).publish).toEqual({ which: 'none', store: 'models', model: 'yours' });
    const wrong = file('wrong.yaml', 'publish: best\n');
    expect(() => newConfig(td3, given({ file: wrong }))).toThrow(
      `${wrong}: publish: expected an object of settings, got "best"`,
    );
  });

  test('a whole config that was printed gives the same config', () => {
    const config = newConfig(td3, given({ flags: [flag('--steps', '1e5')], publish: { which: 'none' } }));
    const printed = file('printed.json', JSON.stringify(config, null, 2));
    expect(newConfig(td3, given({ file: printed }))).toEqual(config);
  });

  test('a whole config beside another choice has the options of that one, and those that it gives itself', async () => {
    const withFile = async (name: string, algorithm: object, change: object, environment = 'Point-Robot') => {
      const trained = await loadAlgorithm(name);
      const printed = completeConfig(trained, { environment, threadCount: 1, algorithm });
      const flags = Object.entries(change).map(([path, value]) => ({ flag: '', path: path.split('.'), value }));
      const config = newConfig(trained, given({ file: file('whole.json', JSON.stringify(printed)), flags }));
      expect(unusedSettings(trained, config)).toEqual([]);
      expect(config).toEqual(newConfig(trained, given({ file: file('whole.json', JSON.stringify(config)) })));
      return config.algorithm;
    };
    const mlp = { critic: { architecture: 'mlp-small' } };
    expect(await withFile('td3', mlp, { 'algorithm.critic.architecture': 'mlp-large' })).toMatchObject({
      critic: { architecture: 'mlp-large', hiddenSizes: [2900, 2900] },
    });
    const narrow = { critic: { architecture: 'sa-hyper', trunkSizes: [8] } };
    expect(await withFile('sac', narrow, { 'algorithm.critic.architecture': 'resnet-features' })).toMatchObject({
      critic: { architecture: 'resnet-features', trunkSizes: [8] },
    });
    const { hyper, encoder } = (await withFile(
      'pearl',
      { agent: 'oracle-context', networks: 'hyper' },
      { 'algorithm.agent': 'pearl', 'algorithm.networks': 'mlp' },
    )) as unknown as PearlConfig;
    expect([hyper, encoder.aggregation]).toEqual([undefined, 'product']);
    const toHyper = { 'algorithm.agent': 'oracle-context', 'algorithm.networks': 'hyper' };
    expect(await withFile('pearl', { agent: 'pearl' }, toHyper)).not.toHaveProperty('hiddenSizes');
    expect(await withFile('maml', { policy: 'maml' }, { 'algorithm.policy': 'hyper-maml' })).not.toHaveProperty(
      'hiddenSizes',
    );
    expect(
      await withFile('pearl', { agent: 'pearl' }, { 'algorithm.encoder.architecture': 'pearl-gru-encoder' }),
    ).toMatchObject({ encoder: { architecture: 'pearl-gru-encoder', hiddenSizes: [64, 64] } });
  });

  test("a file beside another environment keeps its network's options, unless another network is chosen too", async () => {
    const pearl = await loadAlgorithm('pearl');
    const inEnvironment = (environment: string, content: object, algorithm: object = {}) => {
      const flags = Object.entries({ environment, ...algorithm }).map(([path, value]) => ({
        ...{ flag: '', path: path.split('.') },
        value,
      }));
      return newConfig(pearl, given({ file: file('pearl.json', JSON.stringify(content)), flags })).algorithm;
    };
    // Those of the environment that the file has by default.
    const large = { trunkSizes: [256, 512, 1024], dynamicHiddenSizes: [256] };
    expect(inEnvironment('Point-Robot', { algorithm: { hyper: large } })).toMatchObject({ hyper: large });
    const small = completeConfig(pearl, { environment: 'Point-Robot', threadCount: 1, algorithm: {} });
    const { hyper, gamma } = small.algorithm as unknown as PearlConfig;
    expect(hyper).toMatchObject({ trunkSizes: [64], dynamicHiddenSizes: [32], initialisation: 'hfi' });
    expect(inEnvironment('HalfCheetah-Vel', small)).toMatchObject({ hyper, gamma });
    const mlp = { 'algorithm.agent': 'pearl', 'algorithm.networks': 'mlp' };
    expect(inEnvironment('HalfCheetah-Vel', small, mlp)).not.toHaveProperty('hyper');
  });

  test('a file may begin with a byte order mark, and YAML may name a part and merge it', () => {
    const seed = { loop: { seed: 3 } };
    expect(readConfigFile(file('bom.json', '\uFEFF{ "loop": { "seed": 3 } }'))).toEqual(seed);
    expect(readConfigFile(file('bom.yaml', '\uFEFFloop: { seed: 3 }'))).toEqual(seed);
    const merged = file('merged.yaml', 'algorithm: &same { gamma: 0.9 }\nloop:\n  <<: *same\n  seed: 3\n');
    expect(readConfigFile(merged)).toEqual({ algorithm: { gamma: 0.9 }, loop: { gamma: 0.9, seed: 3 } });
  });

  test.each([
    ['missing.yaml', undefined, 'missing.yaml: expected'],
    ['itself.yaml', 'loop: &loop { seed: *loop }', 'got a value that holds itself'],
    ['tagged.yaml', 'loop: !!js/function "x"', 'got Unresolved tag: tag:yaml.org,2002:js/function at line 1'],
    ['empty.yaml', '', 'expected YAML with settings by name, got an empty file'],
    ['list.yaml', '- 1\n', 'expected YAML with settings by name, got another value'],
    ['torn.json', '{"loop": {', 'expected JSON with settings by name, got '],
    ['torn.yaml', 'loop: [1,\n', 'expected YAML with settings by name, got '],
    ['twice.yaml', 'loop: {}\nloop: {}\n', 'Map keys must be unique at line 2'],
    [
      'twice.json',
      '{\n  "loop": { "seed": 1 },\n  "loop": {}\n}',
      'expected JSON with settings by name, got "loop" twice in an object (line 2 and line 3)',
    ],
  ])('refuses %s in one line', (name, content, message) => {
    const path = content === undefined ? join(scratch, name) : file(name, content);
    let error: Error | undefined;
    try {
      readConfigFile(path);
    } catch (thrown) {
      error = thrown as Error;
    }
    expect(error?.message).toContain(message);
    expect(error?.message).toContain(path);
    expect(error?.message.split('\n')).toHaveLength(1);
  });
});

test('a run that was begun before configs named their algorithm is resumed with its own settings', () => {
  const { name: _, ...algorithm } = { name: 'td3', ...td3Defaults({ architecture: 'mlp-standard' }), batchSize: 16 };
  const begun = { environment: 'Pendulum-v1', algorithm, loop: { ...offPolicyDefaults, seed: 3 }, threadCount: 1 };
  file('config.json', JSON.stringify(begun));
  const config = resumedConfig(td3, scratch, given({ flags: [flag('--steps', '2e6')] }));
  expect(config).toEqual({
    ...begun,
    algorithm: { ...algorithm, name: 'td3', critic: { architecture: 'mlp-standard', hiddenSizes: [256, 256] } },
    loop: { ...begun.loop, stepCount: 2_000_000 },
    publish: { which: 'none', store: 'models', model: 'pendulum-v1-td3-mlp-standard-seed3' },
  });
});

test.each([
  // As configs were before they had the defaults of networks, and those of the point robot where none reads them.
  [
    'td3',
    { critic: { architecture: 'sa-hyper', trunkSizes: [8] } },
    { critic: { trunkSizes: [8], headRank: undefined } },
  ],
  ['maml', { policy: 'maml', hyper: {} }, { policy: 'maml' }],
  ['pearl', { agent: 'pearl', hyper: { trunkSizes: [64], initialisation: 'hfi' } }, { agent: 'pearl' }],
  ['pearl', { hiddenSizes: [64, 64] }, {}],
  ['td3', { policy: 'hyper', actorHiddenSizes: [256, 256] }, { policy: 'hyper' }],
  ['maml', { policy: 'hyper-maml', hiddenSizes: [100, 100] }, { policy: 'hyper-maml' }],
  // An undefined setting is not given.
  [
    'td3',
    { critic: { architecture: 'mlp-standard' } },
    { critic: { architecture: 'mlp-standard', hiddenSizes: undefined } },
  ],
  ['sac', {}, { critic: { architecture: undefined } }],
  // A setting that was told to change nothing.
  ['td3', { critic: { architecture: 'mlp-small', trunkSizes: [8] } }, { critic: { architecture: 'mlp-small' } }],
])('a run of %s that was begun with %j goes on with %j', async (name, begun, now) => {
  const algorithm = await loadAlgorithm(name);
  const rest = { environment: 'Point-Robot', threadCount: 1, loop: { seed: 0 } };
  file('config.json', JSON.stringify({ ...rest, algorithm: { name, ...begun } }));
  await requireSameRun(algorithm, scratch, completeConfig(algorithm, { ...rest, algorithm: now }));
  const other = completeConfig(algorithm, { ...rest, algorithm: now, loop: { seed: 1 } });
  await expect(requireSameRun(algorithm, scratch, other)).rejects.toThrow(
    'that the run began with, loop.seed: 0, got loop.seed: 1. ',
  );
});

test.each([
  [1, 1],
  [6, 6],
  // More than a run may have.
  [384, 256],
])('a process that may use %i cores trains with %i threads', (coreCount, threadCount) => {
  const cores = vi.spyOn(os, 'availableParallelism').mockReturnValue(coreCount);
  syncBuiltinESMExports();
  onTestFinished(() => {
    cores.mockRestore();
    syncBuiltinESMExports();
  });
  expect(newConfig(td3, given()).threadCount).toBe(threadCount);
});

test('the time between checkpoints is above 0 minutes and at most a day, and may be given again', () => {
  expect(() => flag('--checkpoint-minutes', '0')).toThrow('a number above 0 and at most 1440');
  expect(() => flag('--checkpoint-minutes', '1441')).toThrow('a number above 0 and at most 1440');
  const half = flag('--checkpoint-minutes', '0.5');
  expect(newConfig(td3, given({ flags: [half] }))).toMatchObject({ checkpointMinutes: 0.5 });
  expect(isResumable(td3, half)).toBe(true);
});
