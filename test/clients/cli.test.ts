import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve as resolvePath } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { flagBounds, helpOf, settingFlags } from '../../clients/cli/serve-flags.ts';
import { parseServerConfig, type ServerSettings, serverDefaults } from '../../server/config.ts';
import { environmentNames } from '../../src/envs/registry.ts';
import { startTestServer } from '../server/fixtures.ts';

const command = fileURLToPath(new URL('../../dist/clients/cli/main.js', import.meta.url));

type Ended = { readonly code: number; readonly out: string; readonly error: string };

const run = (...args: string[]): Promise<Ended> =>
  new Promise((resolve) => {
    execFile(process.execPath, [command, ...args], (failure, out, error) => {
      resolve({ code: typeof failure?.code === 'number' ? failure.code : 0, out, error });
    });
  });

describe('hyperpolicy without a server', () => {
  test.each([
    [['bogus'], "hyperpolicy: unknown command 'bogus'. See --help\n"],
    [['bogus', '--help'], "hyperpolicy: unknown command 'bogus'. See --help\n"],
    [['train', 'ppo'], "hyperpolicy: unknown command 'ppo' (Expected one of maml, pearl, sac, td3). See --help\n"],
    ...[
      ['help', 'models', 'bogus'],
      ['models', 'bogus', '--help'],
      ['models', 'help', 'bogus'],
    ].map((args): [string[], string] => [
      args,
      "hyperpolicy: unknown command 'bogus' (Expected one of list, show, make-random, load, unload, label, traffic, rollback). See --help\n",
    ]),
    [
      ['help', 'train', 'ppo'],
      "hyperpolicy: unknown command 'ppo' (Expected one of maml, pearl, sac, td3). See --help\n",
    ],
    [['help', 'trian'], "hyperpolicy: unknown command 'trian' (Did you mean train?)\n"],
    [
      ['train', 'td3', '--enviroment', 'Hopper-v5'],
      "hyperpolicy: unknown option '--enviroment' (Did you mean --env?)\n",
    ],
    [
      ['models', 'make-random', '--model', 'm', '--environ', 'Hopper-v5'],
      "hyperpolicy: unknown option '--environ' (Did you mean --env?)\n",
    ],
    [
      ['models', 'make-random', '--model', 'm', '--env', 'Hopper-v5', '--environment', 'Hopper-v5'],
      "hyperpolicy: option '--environment <name>' cannot be used with option '--env <name>'. See --help\n",
    ],
    [['eval', '--modle', 'm'], "hyperpolicy: unknown option '--modle' (Did you mean --model?)\n"],
    [['eval', '--modle=m'], "hyperpolicy: unknown option '--modle=m' (Did you mean --model?)\n"],
    [
      ['act', '--model', 'm', '--observaton', '0,0'],
      "hyperpolicy: unknown option '--observaton' (Did you mean --observation?)\n",
    ],
    [
      ['models', 'label', '--model', 'm', '--lable', 'live', '--model-version', '1'],
      "hyperpolicy: unknown option '--lable' (Did you mean --label?)\n",
    ],
    [
      ['train', '--resume', '--run', 'runs/my-cheetah-seed0'],
      "hyperpolicy: unknown option '--resume' (Name one of maml, pearl, sac, td3 first: train td3 --resume ...). See --help\n",
    ],
    [['serve', '--bogus'], "hyperpolicy: unknown option '--bogus'. See --help\n"],
    [
      ['serve', '--port', '70000'],
      "hyperpolicy: option '--port <port>' argument '70000' is invalid. Expected an integer from 0 to 65535. See --help\n",
    ],
    [
      ['act', '--observation', '1', '--context', '1', '--context-handle', 'x'],
      "hyperpolicy: option '--context <rows>' cannot be used with option '--context-handle <handle>'. See --help\n",
    ],
    [['act'], "hyperpolicy: required option '--observation <rows>' not specified. See --help\n"],
    [
      ['act', '--model', 'm', '--observation', '1,x'],
      "hyperpolicy: option '--observation <rows>' argument '1,x' is invalid. Expected numbers: 1,2,3 or [1,2,3] or [[1,2,3],[4,5,6]]. See --help\n",
    ],
    [
      ['act', '--server', 'http://127.0.0.1:50051', '--observation', '1'],
      "hyperpolicy: option '--server <host:port>' argument 'http://127.0.0.1:50051' is invalid. Expected host:port, such as 127.0.0.1:50051 or [::1]:50051. See --help\n",
    ],
    [
      ['act', '--server', 'me@robot:50051', '--observation', '1'],
      "hyperpolicy: option '--server <host:port>' argument 'me@robot:50051' is invalid. Expected host:port, such as 127.0.0.1:50051 or [::1]:50051. See --help\n",
    ],
    [
      ['models', 'rollback', '--model', 'm', '--admin', 'robot'],
      "hyperpolicy: option '--admin <host:port>' argument 'robot' is invalid. Expected host:port, such as 127.0.0.1:50051 or [::1]:50051. See --help\n",
    ],
    [
      ['models', 'traffic', '--model', 'm', '--admin', 'robot:1', '--split', 'a=10,a=90'],
      "hyperpolicy: option '--split <shares>' argument 'a=10,a=90' is invalid. Expected label=percentage,..., each label once. See --help\n",
    ],
    [
      ['qgrad', '--model', 'm', '--observation', '1', '--action', '1', '--reduction', 'max'],
      "hyperpolicy: option '--reduction <rule>' argument 'max' is invalid. Allowed choices are q1, min, mean. See --help\n",
    ],
    [
      ['eval', '--model', 'm', 'extra'],
      "hyperpolicy: too many arguments for 'eval'. Expected 0 arguments but got 1. See --help\n",
    ],
  ])('%j is a usage error: one line, exit code 2', async (args, error) => {
    expect(await run(...args)).toEqual({ code: 2, out: '', error });
  });

  test('help into a pipe that is closed is no error', async () => {
    const child = spawn(process.execPath, [command, 'train', 'td3', '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    const [[code], error] = await Promise.all([once(child, 'close'), text(child.stderr)]);
    expect({ code, error }).toEqual({ code: 0, error: '' });
  });

  test('models alone shows its subcommands', async () => {
    const { code, error } = await run('models');
    expect(code).toBe(2);
    expect(error).toContain('hyperpolicy: expected a subcommand. See --help');
  });

  test.each(['serve', 'models', 'act', 'qgrad', 'adapt', 'eval'])('%s has help', async (name) => {
    const { code, out } = await run(name, '--help');
    expect(code).toBe(0);
    expect(await run('help', name)).toEqual({ code, out, error: '' });
    expect(out).toContain(`Usage: hyperpolicy ${name}`);
  });

  test.each([
    ['models', 'label'],
    ['train', 'td3'],
  ])('help of a subcommand: help %s %s', async (...names) => {
    const { code, out } = await run('help', ...names);
    expect(code).toBe(0);
    expect(out).toContain(`Usage: hyperpolicy ${names.join(' ')}`);
    expect(await run(...names, '--help')).toEqual({ code, out, error: '' });
  });

  test('help wraps beside the widest flags, and tells what must be given', async () => {
    const { out } = await run('train', 'pearl', '--help');
    const options = out.slice(out.indexOf('Options:'), out.indexOf('\n\nSettings without'));
    expect(options.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect((await run('models', 'label', '--help')).out.match(/\(required\)/g)).toHaveLength(3);
    expect((await run('act', '--help')).out.replaceAll(/\s+/g, ' ')).toContain('[[1,2,3],[4,5,6]] (required)');
  });

  test('no arguments shows every subcommand', async () => {
    const { code, out } = await run();
    expect(code).toBe(0);
    for (const name of ['serve', 'models', 'act', 'qgrad', 'adapt', 'eval']) expect(out).toContain(`  ${name} `);
  });

  test('no server is one line, exit code 1', async () => {
    expect(await run('models', 'list', '--server', '127.0.0.1:1')).toEqual({
      code: 1,
      out: '',
      error:
        'hyperpolicy: ListModels: expected a server at 127.0.0.1:1, got a refused connection. Start one with "hyperpolicy serve", or name another address\n',
    });
  });

  test('an authority that cannot be read is one line, exit code 1', async () => {
    expect(await run('models', 'list', '--tls-authority', 'no-such.pem')).toEqual({
      code: 1,
      out: '',
      error: `hyperpolicy: --tls-authority no-such.pem: expected a file at ${resolvePath('no-such.pem')}, got none\n`,
    });
  });

  test('the help of make-random says what a context has', async () => {
    const { out } = await run('models', 'make-random', '--help');
    const [option] = /--context-size(?:.|\n)*?(?=\n +--)/.exec(out)!;
    expect(option.replace(/\s+/g, ' ')).toBe(
      '--context-size <count> values of a context; default: 2 for a hyper policy or an encoder, else none',
    );
  });

  test('make-random makes models that adapt, and refuses those that cannot', async () => {
    const store = await mkdtemp(join(tmpdir(), 'hyperpolicy-cli-'));
    onTestFinished(() => rm(store, { recursive: true }));
    const make = (...args: string[]) =>
      run('models', 'make-random', '--store', store, '--critic', 'none', '--hidden', '8', '--trunk', '8', ...args);
    const manifestOf = async ({ out }: Ended) =>
      JSON.parse(await readFile(join(JSON.parse(out).directory, 'manifest.json'), 'utf8'));
    expect(await manifestOf(await make('--model', 'pearl', '--encoder'))).toMatchObject({
      context: { source: 'latent', names: ['latent.0', 'latent.1'] },
      encoder: { file: 'encoder.onnx', prior: 'start' },
      adapt: null,
      probes: [{ target: 'policy' }, { target: 'encoder' }],
    });
    expect(await manifestOf(await make('--model', 'maml', '--stochastic', '--adapt'))).toMatchObject({
      encoder: null,
      adapt: { file: 'adapt.onnx', discount: 0.95, lambda: 1 },
      probes: [{ target: 'policy' }, { target: 'adapt' }],
    });
    expect(await make('--model', 'maml', '--adapt')).toMatchObject({
      code: 1,
      error: 'hyperpolicy: make-random adapt: expected a stochastic policy, got a deterministic one\n',
    });
  });

  test('lists the environments with the ranges of their tasks', async () => {
    const { out } = await run('environments');
    const lines = out.split('\n').map((line) => line.split(/ {2,}/));
    expect(lines[0]).toEqual(['name', 'observation', 'action', 'steps', 'Hz', 'tasks']);
    expect(lines).toContainEqual(['HalfCheetah-v5', '17', '6', '1,000', '20']);
    const medium = ['HalfCheetah-Vel-Medium', '20', '6', '200', '20', 'goal.x-velocity 0 to 2.5, tests 2.5 to 3 m/s'];
    expect(lines).toContainEqual(medium);
    const json = (await run('environments', '--json')).out.trim().split('\n');
    expect(json.map((line) => (JSON.parse(line) as { name: string }).name)).toEqual(environmentNames);
  });

  test('the list of networks marks those that import takes', async () => {
    const { out } = await run('architectures');
    const lines = out.split('\n').map((line) => line.split(/ {2,}/));
    expect(lines.slice(0, 2)).toEqual([
      ['name', 'kind', 'import', 'parameters', 'FLOPs', 'FLOPs, cached context', 'generated bytes'],
      ['mlp-standard', 'critic', 'yes', '72,193', '143,360', '143,360', '0'],
    ]);
    expect(lines.filter(([, , mark]) => mark === 'yes')).toHaveLength(12);
    // Eleven critics, of which nine are marked.
    expect(
      lines.filter(([name, kind, mark]) => kind === 'critic' && mark === 'yes' && !name!.startsWith('pearl')),
    ).toHaveLength(9);
  });

  test('an unknown environment names those that exist', async () => {
    expect(await run('models', 'make-random', '--model', 'm', '--environment', 'Nope-v0')).toMatchObject({
      code: 1,
      error: expect.stringMatching(/^hyperpolicy: environment: expected one of .*HalfCheetah-v5.*, got "Nope-v0"\n$/),
    });
    expect(await run('models', 'make-random', '--model', 'm', '--environment', 'HalfCheeta-v5')).toMatchObject({
      code: 1,
      error: expect.stringMatching(/got "HalfCheeta-v5"\. Did you mean HalfCheetah-v5\?\n$/),
    });
  });
});

describe('settings of serve', () => {
  const printed = async (args: string[], env: Record<string, string> = {}): Promise<Ended> =>
    new Promise((resolve) => {
      const options = { env: { ...process.env, ...env } };
      execFile(process.execPath, [command, 'serve', '--print-config', ...args], options, (failure, out, error) => {
        resolve({ code: typeof failure?.code === 'number' ? failure.code : 0, out, error });
      });
    });

  test('a flag goes before its variable, that before the file, that before the default', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-cli-'));
    onTestFinished(() => rm(directory, { recursive: true }));
    const file = join(directory, 'config.json');
    await writeFile(file, JSON.stringify({ port: 1, watchMs: 1, drainMs: 1 }));
    const { out } = await printed(['--config', file, '--port', '3', '--critic-cache-mib', '2'], {
      HYPERPOLICY_PORT: '2',
      HYPERPOLICY_WATCH_MS: '2',
    });
    expect(JSON.parse(out)).toMatchObject({
      port: 3,
      watchMs: 2,
      drainMs: 1,
      rowCountMax: 4096,
      criticCacheBytesMax: 2 * 1024 * 1024,
    });
    await writeFile(file, JSON.stringify({ prot: 1 }));
    expect(await printed(['--config', file])).toMatchObject({
      code: 1,
      error: expect.stringMatching(/^hyperpolicy: server settings: expected settings among store, .*, got "prot"\n$/),
    });
    await writeFile(file, '{ "port": 1, "port": 2 }');
    expect(await printed(['--config', file])).toMatchObject({
      code: 1,
      error: `hyperpolicy: config ${file}: expected a JSON object of settings, got "port" twice in an object (line 1)\n`,
    });
    await writeFile(file, '[1');
    expect(await printed(['--config', file])).toMatchObject({
      code: 1,
      error: expect.stringContaining('expected a JSON object of settings'),
    });
  });

  test('every setting has a flag and a variable', async () => {
    const { out: help } = await run('serve', '--help');
    const options = [...help.matchAll(/^ +(--[a-z-]+) <([^>.]+)/gm)].filter(([, flag]) => flag !== '--config');
    const values: Record<string, string> = {
      origin: 'https://a.example',
      url: 'http://a.example/',
      bytes: '7777',
      ratio: '0.5',
      device: 'cuda',
      precision: 'tf32',
      way: 'kept',
      level: 'silent',
    };
    const given = options.map(([, flag, kind]) => [flag!, values[kind!] ?? '7'] as const);
    const switches = [...help.matchAll(/^ +(--[a-z-]+) [^<]/gm)].map(([, flag]) => flag!);
    const own = switches.filter((flag) => flag !== '--print-config');
    const defaults = JSON.parse((await printed([])).out) as Record<string, unknown>;
    const variables = [...given, ...own.map((flag) => [flag, 'true'] as const)].map(([flag, value]) => [
      `HYPERPOLICY_${flag.slice(2).replaceAll('-', '_').toUpperCase()}`,
      value,
    ]);
    for (const { out } of [
      await printed([...given.flat(), ...own]),
      await printed([], Object.fromEntries(variables)),
    ]) {
      const config = JSON.parse(out) as Record<string, unknown>;
      const same = Object.keys(defaults).filter(
        (name) => JSON.stringify(config[name]) === JSON.stringify(defaults[name]),
      );
      expect(same).toEqual([]);
    }
  });

  test('the bounds of the help are those of the settings', () => {
    for (const { setting, flag } of settingFlags) {
      const bounds = flagBounds(setting, flag);
      if (bounds === undefined) continue;
      const { low, high } = bounds;
      const { unit = 1 } = flag;
      for (const value of [low, high]) {
        expect(parseServerConfig({ [setting]: value * unit })).toMatchObject({ [setting]: value * unit });
      }
      for (const value of [low - 1, high + 1, Number.NaN, String(low)]) {
        const given = typeof value === 'number' ? value * unit : value;
        expect(() => parseServerConfig({ [setting]: given })).toThrow(`server settings ${setting}: expected a`);
      }
    }
  });

  test.each([
    ['a flag', ['--drain-ms', '1000000001'], undefined, 2],
    ['a variable', [], { HYPERPOLICY_DRAIN_MS: '1000000001' }, 2],
    ['JSON', [], { drainMs: 1_000_000_001 }, 1],
  ] as const)('a duration that no timer takes is refused from %s', async (from, args, given, code) => {
    const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-cli-'));
    onTestFinished(() => rm(directory, { recursive: true }));
    const file = join(directory, 'config.json');
    await writeFile(file, JSON.stringify(from === 'JSON' ? given : {}));
    const ended = await printed(['--config', file, ...args], from === 'a variable' ? { ...given } : {});
    expect(ended).toMatchObject({
      code,
      out: '',
      error: expect.stringMatching(/xpected an integer from 0 to 1000000000/),
    });
  });

  test.each([
    [{ drainMs: '1' }, 'server settings drainMs: expected an integer from 0 to 1000000000, got "1"'],
    [{ traceRatio: 2 }, 'server settings traceRatio: expected a number from 0 to 1, got 2'],
    [{ httpPort: 70000 }, 'server settings httpPort: expected an integer from 0 to 65535, or null, got 70000'],
    [{ device: 'gpu' }, 'server settings device: expected one of auto, cpu, webgpu, cuda, got "gpu"'],
    [{ httpPlaintext: 'yes' }, 'server settings httpPlaintext: expected true or false, got "yes"'],
    [{ store: '' }, 'server settings store: expected a text that is not empty, got ""'],
    [
      { httpOrigins: ['https://a.example', 'lab.example'] },
      'server settings httpOrigins.1: expected a web origin: http or https, a host, a port where it is not the usual one, ' +
        'such as https://lab.example, got "lab.example"',
    ],
  ])('%j is refused with what was expected', (settings, text) => {
    expect(() => parseServerConfig(settings as ServerSettings)).toThrow(text);
  });

  test('web origins are kept as browsers write them', async () => {
    const origins = ['https://Lab.Example/', 'HTTP://lab.example:80', 'https://lab.example:8443', 'http://[::1]:3000/'];
    const written = ['https://lab.example', 'http://lab.example', 'https://lab.example:8443', 'http://[::1]:3000'];
    expect(parseServerConfig({ httpOrigins: origins }).httpOrigins).toEqual(written);
    const { out } = await printed([], { HYPERPOLICY_HTTP_ORIGIN: 'https://A.example, https://b.example/' });
    expect(JSON.parse(out)).toMatchObject({ httpOrigins: ['https://a.example', 'https://b.example'] });
    for (const text of [
      '*',
      'null',
      '',
      'https://a.example/path',
      'https://u@a.example',
      'ftp://a.example',
      'https://',
    ]) {
      expect(() => parseServerConfig({ httpOrigins: [text] })).toThrow('expected a web origin');
    }
  });

  test('a variable that nobody knows, and a switch that is neither on nor off, are refused', async () => {
    expect(await printed([], { HYPERPOLICY_DRIAN_MS: '5' })).toMatchObject({
      code: 1,
      error:
        'hyperpolicy: variable HYPERPOLICY_DRIAN_MS: expected HYPERPOLICY_ and the name of a flag in capitals, ' +
        'got another name. See "hyperpolicy serve --help"\n',
    });
    expect(await printed([], { HYPERPOLICY_ADMIN_OPEN: '1' })).toMatchObject({
      code: 1,
      error: 'hyperpolicy: variable HYPERPOLICY_ADMIN_OPEN: expected true or false, got "1"\n',
    });
    const remedy = 'Kubernetes sets it for a service: say enableServiceLinks: false in the pod, or rename the service';
    expect(await printed([], { HYPERPOLICY_METRICS_PORT: 'tcp://10.0.0.1:9464' })).toMatchObject({
      code: 2,
      error:
        "hyperpolicy: option '--metrics-port <port>' value 'tcp://10.0.0.1:9464' from env 'HYPERPOLICY_METRICS_PORT' is invalid. " +
        `Expected an integer from 0 to 65535. ${remedy}. See --help\n`,
    });
    const links = { STORE_PORT: 'tcp://10.0.0.1:80', METRICS_SERVICE_PORT: '80', METRICS_PORT_80_TCP_PROTO: 'tcp' };
    for (const [name, value] of Object.entries(links)) {
      expect((await printed([], { [`HYPERPOLICY_${name}`]: value })).error).toBe(
        `hyperpolicy: variable HYPERPOLICY_${name}: expected HYPERPOLICY_ and the name of a flag in capitals, got another name. ${remedy}\n`,
      );
    }
    const ofOthers = { HYPERPOLICY_SERVICE_HOST: '10.0.0.1', HYPERPOLICY_PORT_80_TCP: 'tcp://10.0.0.1:80' };
    const { out } = await printed([], {
      ...ofOthers,
      HYPERPOLICY_ADMIN_OPEN: 'false',
      HYPERPOLICY_HTTP_PLAINTEXT: 'true',
    });
    expect(JSON.parse(out)).toMatchObject({ adminOpen: false, httpPlaintext: true });
  });

  test('every setting is in the help, with what it means and may be', async () => {
    const { out } = await run('serve', '--help');
    const help = out.replaceAll(/\s+/g, ' ');
    for (const { setting, flag } of settingFlags) {
      expect(help).toContain(`${flag.flags} ${helpOf(setting, flag, serverDefaults[setting])}`);
    }
  });

  test('of several processes, the limits that each has are named beside the settings', async () => {
    const { out, error } = await printed(['--processes', '2']);
    expect(JSON.parse(out)).toMatchObject({ processCount: 2, connectionAgeMsMax: 300_000 });
    expect(error).toBe(
      'Of each of the 2 processes: workerCount, queueRowCountMax, requestCountMax, connectionCountMax, httpConnectionCountMax, contextCacheBytesMax, criticCacheBytesMax, handleCacheBytesMax, heldActionCountMax, traceQueueCountMax.\n',
    );
    expect((await printed([])).error).toBe('');
  });

  test('a variable that does not parse is named', async () => {
    expect(await printed([], { HYPERPOLICY_PORT: 'x' })).toMatchObject({
      code: 2,
      error: expect.stringContaining("value 'x' from env 'HYPERPOLICY_PORT' is invalid"),
    });
  });
});

describe('hyperpolicy with a server', () => {
  let server: string[];
  beforeAll(async () => {
    const { createEnvironment } = await import('../../src/envs/registry.ts');
    const environment = await createEnvironment('HalfCheetah-v5');
    const { address } = await startTestServer(
      [
        { model: 'small', policy: 'plain', critic: 'plain', observationSize: 2, actionSize: 1, hiddenSize: 8 },
        {
          model: 'cheetah',
          policy: 'plain',
          critic: 'none',
          environment: { name: 'HalfCheetah-v5', ...environment.specs },
        },
      ],
      {},
      afterAll,
    );
    environment.dispose();
    server = ['--server', address];
  });

  test('act prints an action per row', async () => {
    const { code, out } = await run('act', ...server, '--model', 'small', '--observation', '[[1,2],[3,4]]');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ action: [[expect.any(Number)], [expect.any(Number)]], version: 1 });
  });

  test('qgrad prints a value and a gradient', async () => {
    const { out } = await run('qgrad', ...server, '--model', 'small', '--observation', '1,2', '--action', '0.5');
    expect(JSON.parse(out)).toMatchObject({ q: [expect.any(Number)], dqDa: [[expect.any(Number)]] });
  });

  test('adapt prints a handle, and act takes it', async () => {
    const { address } = await startTestServer([
      {
        model: 'posterior',
        policy: 'plain',
        critic: 'none',
        observationSize: 2,
        actionSize: 1,
        contextSize: 2,
        hiddenSize: 8,
        encoder: true,
      },
      { model: 'other', policy: 'plain', critic: 'none', observationSize: 2, actionSize: 1, hiddenSize: 8 },
    ]);
    const model = ['--server', address];
    const named = [...model, '--model', 'posterior'];
    const steps = ['--observation', '[[1,2],[3,4]]', '--action', '[[0.1],[0.2]]', '--reward', '1,2'];
    const { code, out } = await run('adapt', ...named, ...steps, '--seed', '3');
    expect(code).toBe(0);
    const adapted = JSON.parse(out);
    expect(adapted).toMatchObject({
      contextHandle: expect.stringMatching(/^[0-9a-f]{32}$/),
      mean: [expect.any(Number), expect.any(Number)],
      seed: 3,
      transitionCount: 2,
      version: 1,
    });
    const more = await run('adapt', ...model, ...steps, '--context-handle', adapted.contextHandle);
    expect(JSON.parse(more.out)).toMatchObject({ transitionCount: 4 });
    // The handle says of which model it is.
    const act = ['--observation', '1,2'];
    const byHandle = JSON.parse((await run('act', ...model, ...act, '--context-handle', adapted.contextHandle)).out);
    const byContext = JSON.parse(
      (await run('act', ...named, ...act, '--context', JSON.stringify(adapted.context))).out,
    );
    expect(byHandle.action).toEqual(byContext.action);
  });

  test('models list and show', async () => {
    const { out, error } = await run('models', 'list', ...server);
    expect(error).toBe('');
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).model),
    ).toEqual(['cheetah', 'small']);
    const shown = JSON.parse((await run('models', 'show', ...server, '--model', 'small')).out);
    expect(shown).toMatchObject({
      model: 'small',
      observation: { low: [null, null] },
      action: { low: [-1], high: [1] },
    });
  });

  test('the gRPC port in place of the admin port is told so', async () => {
    expect(await run('models', 'rollback', '--model', 'small', '--admin', server[1]!)).toEqual({
      code: 1,
      out: '',
      error: `hyperpolicy: Rollback: expected a port with this method at ${server[1]}, got one without it. Check the address: the policy's methods are at the server's --port, changes of what is served at its --admin-port\n`,
    });
  });

  test('a port of HTTP is told so', async () => {
    const http = createServer((_request, response) => response.end());
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void http.close());
    const address = `127.0.0.1:${(http.address() as AddressInfo).port}`;
    expect((await run('models', 'list', '--server', address)).error).toBe(
      `hyperpolicy: ListModels: expected a server at ${address}, got an answer that is not gRPC. gRPC is at the server's --port, not at those of HTTP. Check the address, and that client and server both use TLS or neither does\n`,
    );
  });

  test('a port that never answers is told so', async () => {
    const silent = createNetServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void silent.close());
    const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    expect((await run('models', 'list', '--server', address, '--timeout-ms', '2000')).error).toBe(
      `hyperpolicy: ListModels: expected a server at ${address}, got no sign of life for 500 ms. Check the address, and that client and server both use TLS or neither does; or the server is frozen\n`,
    );
  });

  test("the server's refusals are one line, exit code 1", async () => {
    expect(await run('act', ...server, '--model', 'nope', '--observation', '1')).toEqual({
      code: 1,
      out: '',
      error: 'hyperpolicy: Act model: expected one of "cheetah", "small", got "nope"\n',
    });
    expect(await run('eval', ...server)).toEqual({
      code: 1,
      out: '',
      error: 'hyperpolicy: --model: expected one of cheetah, small, got none\n',
    });
    expect(await run('eval', ...server, '--model', 'small')).toMatchObject({
      code: 1,
      error: expect.stringMatching(
        /^hyperpolicy: eval: environment of "small": expected one that "hyperpolicy environments" lists, got "none". Name yours with --env: its name, or its file such as .\/my-env.js\n$/,
      ),
    });
  });

  test('no --model is the only model of the server', async () => {
    const { address } = await startTestServer(
      [{ model: 'alone', policy: 'plain', critic: 'none', observationSize: 2, actionSize: 1, hiddenSize: 8 }],
      {},
      afterAll,
    );
    const { out } = await run('models', 'show', '--server', address);
    expect(JSON.parse(out)).toMatchObject({ model: 'alone' });
  });

  test('a server without a model is an error that says what to do', async () => {
    const { address } = await startTestServer([]);
    const remedy =
      'Publish one into the store of the server: "hyperpolicy train td3", or to try it "hyperpolicy models make-random --model demo"';
    expect(await run('models', 'show', '--server', address)).toMatchObject({
      code: 1,
      error: `hyperpolicy: --model: expected a server with a model, got ${address}, which has none. ${remedy}\n`,
    });
    // An empty list is a list: nothing for a script to read, and a line for a person.
    const list = await run('models', 'list', '--server', address);
    expect(list).toEqual({ code: 0, out: '', error: `No model is ready. ${remedy}\n` });
  });

  test('eval tells a model that does not fit an environment by its sizes, or by the first value that differs', async () => {
    const { createEnvironment } = await import('../../src/envs/registry.ts');
    const { specs } = await createEnvironment('Pendulum-v1');
    const wider = { ...specs, action: { ...specs.action, high: [3] } };
    const plain = { policy: 'plain', critic: 'none', hiddenSize: 8 } as const;
    const { address } = await startTestServer([
      { ...plain, model: 'old', environment: { name: 'Pendulum-v1', ...wider } },
      { ...plain, model: 'random', observationSize: 2, actionSize: 1 },
    ]);
    const refusal = async (...args: string[]) => (await run('eval', '--server', address, '--model', ...args)).error;
    expect(await refusal('old')).toBe(
      `hyperpolicy: eval Pendulum-v1: expected a model for the environment's action value 0 "rod.torque" in [-2, 2] N m, got "old" for action value 0 "rod.torque" in [-2, 3] N m. The environment has changed since the model was published: train it anew, or name another with --env\n`,
    );
    expect(await refusal('random', '--env', 'HalfCheetah-v5')).toBe(
      `hyperpolicy: eval HalfCheetah-v5: expected a model for the environment's observation 17, action 6, no context, got "random" for observation 2, action 1, no context. It was made without an environment: "models make-random --env HalfCheetah-v5" makes one that fits\n`,
    );
  });

  test('eval drives the real environment through the server, reproducibly', async () => {
    const args = ['eval', ...server, '--model', 'cheetah', '--episodes', '2', '--seed', '3'];
    const { code, out } = await run(...args);
    expect(code).toBe(0);
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toMatchObject([
      { episode: 0, seed: 3, steps: 1000 },
      { episode: 1, seed: 4, steps: 1000 },
      { model: 'cheetah', version: 1, episodes: 2 },
    ]);
    expect(lines[2].meanReturn).toBeCloseTo((lines[0].return + lines[1].return) / 2, 6);
    const again = await run('eval', ...server, '--model', 'cheetah', '--seed', '4');
    expect(JSON.parse(again.out.split('\n')[0]!).return).toBe(lines[1].return);
  });
});

test('the command that npx links is a file of the repository, executable before anything is built', async () => {
  const root = new URL('../../', import.meta.url);
  const { bin, version } = JSON.parse(await readFile(new URL('package.json', root), 'utf8'));
  const linked = fileURLToPath(new URL(bin.hyperpolicy, root));
  expect((await stat(linked)).mode & 0o111).toBe(0o111);
  expect(execFileSync(linked, ['--version'], { encoding: 'utf8' })).toBe(`${version}\n`);
  const elsewhere = await mkdtemp(join(tmpdir(), 'hyperpolicy-test-'));
  onTestFinished(() => rm(elsewhere, { recursive: true }));
  await mkdir(join(elsewhere, 'clients', 'cli'), { recursive: true });
  const copy = join(elsewhere, 'clients', 'cli', 'hyperpolicy.mjs');
  await copyFile(linked, copy);
  const { status, stderr } = spawnSync(process.execPath, [copy], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([
    1,
    'hyperpolicy: expected the compiled command in dist/, got none. Run npm run build\n',
  ]);
});
