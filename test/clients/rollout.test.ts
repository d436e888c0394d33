/** `hyperpolicy rollout`, as a process of its own. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runCommand } from './command.ts';

const folder = mkdtempSync(join(tmpdir(), 'hyperpolicy-rollout-'));
afterAll(() => rmSync(folder, { recursive: true }));

const rollout = (...args: string[]) => runCommand(['rollout', ...args], folder);
const lines = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('hyperpolicy rollout', () => {
  it('prints a line per episode and draws the first, the same for the same seed', async () => {
    const size = ['--width', '40', '--height', '30'];
    const first = await rollout('--env', 'Hopper-v5', '--out', 'a.gif', '--episodes', '2', '--seed', '3', ...size);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(lines(first.stdout)).toMatchObject([
      { picture: 'a.gif' },
      { episode: 0, seed: 3 },
      { episode: 1, seed: 4 },
      { environment: 'Hopper-v5', policy: 'random', episodes: 2 },
    ]);
    await rollout('--env', 'Hopper-v5', '--out', 'b.gif', '--seed', '3', ...size);
    expect(readFileSync(join(folder, 'a.gif')).subarray(0, 6).toString()).toBe('GIF89a');
    expect(readFileSync(join(folder, 'b.gif'))).toEqual(readFileSync(join(folder, 'a.gif')));
  });

  it("runs a user's own environment for as many steps as asked", async () => {
    const cart = resolve('test/envs/files/cart.js');
    const { code, stdout } = await rollout('--env', cart, '--policy', 'zero', '--steps', '7');
    expect(code).toBe(0);
    expect(lines(stdout)[0]).toMatchObject({ steps: 7 });
  });

  it.each([
    [
      'export default () => ({\n  name: "x"\n  specs: {} });',
      "SyntaxError: Unexpected identifier 'specs' at my #1 env.mjs:3",
    ],
    ['const a = 1;\nconst a = 2;', "SyntaxError: Identifier 'a' has already been declared at my #1 env.mjs:2"],
    ['\nJSON.parse("{bad");', 'at my #1 env.mjs:2:6'],
    [`// formerly: import { a } from './other.mjs'\n\nJSON.parse('{"a":');`, 'at my #1 env.mjs:3:6'],
    ['import { a } from "./other.mjs";', "SyntaxError: Unexpected token ')' at other.mjs:2"],
    ['import "./middle.mjs";', "SyntaxError: Unexpected token ')' at other.mjs:2"],
    ['await import("./parts/part.mjs");', "SyntaxError: Unexpected identifier 'b' at parts/part.mjs:1"],
    ['import "./parts/linked.mjs";', "does not provide an export named 'none' at parts/linked.mjs:2"],
    // No package.json says what it is.
    ['import "./parts/typeless.js";', "SyntaxError: Unexpected token ')' at parts/typeless.js:3"],
    // Whose syntax is another's.
    ['// import "./data.json";\nimport "./other.mjs";', "SyntaxError: Unexpected token ')' at other.mjs:2"],
    ['import "./other.mjs?v=1";', "SyntaxError: Unexpected token ')' at other.mjs:2"],
    ['import "./parts/of%20mine.mjs";', "SyntaxError: Unexpected token ')' at parts/of mine.mjs:2"],
    ['import "./common.cjs";', "SyntaxError: Unexpected token ')' at common.cjs:2"],
    ['await import("./common.cjs");', "SyntaxError: Unexpected token ')' at common.cjs:2"],
    [
      'import { createRequire } from "node:module";\ncreateRequire(import.meta.url)("./common.cjs");',
      "SyntaxError: Unexpected token ')' at common.cjs:2",
    ],
    ['import "./thrower.cjs";', 'Error: no motor'],
  ])("tells the line of a user's file that does not load: %j", async (text, actual) => {
    writeFileSync(join(folder, 'my #1 env.mjs'), text);
    writeFileSync(join(folder, 'other.mjs'), '\nexport const a = );');
    writeFileSync(join(folder, 'middle.mjs'), 'import { a } from "./other.mjs";');
    writeFileSync(join(folder, 'data.json'), '{ "a": 1 }');
    mkdirSync(join(folder, 'parts'), { recursive: true });
    writeFileSync(join(folder, 'parts', 'part.mjs'), 'a b;');
    writeFileSync(join(folder, 'parts', 'linked.mjs'), '\nimport { none } from "./good.mjs";');
    writeFileSync(join(folder, 'parts', 'typeless.js'), '\n\nexport const a = );');
    writeFileSync(join(folder, 'parts', 'good.mjs'), 'export default 1;');
    writeFileSync(join(folder, 'parts', 'of mine.mjs'), '\nexport const a = );');
    writeFileSync(join(folder, 'common.cjs'), '\nexports.a = );');
    writeFileSync(join(folder, 'thrower.cjs'), "\nthrow new Error('no motor');");
    const { code, stderr } = await rollout('--env', './my #1 env.mjs', '--policy', 'zero');
    expect(code).toBe(1);
    // Nothing else: no second error, and none of Node's own.
    expect(stderr.trim().split('\n'), stderr).toHaveLength(1);
    expect(stderr).toContain('hyperpolicy: ./my #1 env.mjs: expected a JavaScript module that loads, got ');
    expect(stderr.trim().endsWith(actual), stderr).toBe(true);
  });

  it('leaves to Node what another promise of a file that does not load fails with', async () => {
    writeFileSync(join(folder, 'twice.mjs'), "Promise.reject(new Error('no bus'));\nthrow new Error('no motor');");
    const { code, stderr } = await rollout('--env', './twice.mjs', '--policy', 'zero');
    expect(code).toBe(1);
    expect(stderr).toContain('got Error: no motor at twice.mjs:2');
    expect(stderr).toMatch(/twice\.mjs:1\n.*no bus/);
  });

  it('poses a task', async () => {
    const { stdout } = await rollout('--env', 'Point-Robot', '--policy', 'zero', '--context', '0.6,0.8');
    // 20 steps at distance 1.
    expect(lines(stdout)[0].return).toBeCloseTo(-20, 9);
  });

  it('runs a published model by its name, one of its versions, or its directory', async () => {
    const made = [
      'models',
      'make-random',
      '--model',
      'swing',
      '--policy',
      'plain',
      '--env',
      'Pendulum-v1',
      '--critic',
      'none',
    ];
    for (const seed of ['1', '2']) await runCommand([...made, '--store', 'kept', '--seed', seed], folder);
    const returnOf = async (policy: string) => {
      const { stdout, stderr } = await rollout(
        '--env',
        'Pendulum-v1',
        '--policy',
        policy,
        '--store',
        'kept',
        '--steps',
        '20',
      );
      expect(stderr).toBe('');
      return lines(stdout)[0].return;
    };
    const [newest, first, second, directory] = [
      await returnOf('swing'),
      await returnOf('swing@1'),
      await returnOf('swing@2'),
      await returnOf('kept/swing/1'),
    ];
    expect(newest).toBe(second);
    expect(directory).toBe(first);
    expect(first).not.toBe(second);
    // Their environment is known.
    const own = await rollout('--policy', 'swing', '--store', 'kept', '--steps', '20');
    expect(lines(own.stdout)).toMatchObject([{ return: newest }, { environment: 'Pendulum-v1' }]);
    const none = ['models', 'make-random', '--model', 'placeless', '--policy', 'plain', '--critic', 'none'];
    await runCommand([...none, '--store', 'kept'], folder);
    expect((await rollout('--policy', 'placeless', '--store', 'kept')).stderr).toMatch(
      /^hyperpolicy: rollout: environment of "placeless": expected one .*, got "none"\. Name yours with --env: /,
    );
    const refusal = async (policy: string) =>
      (await rollout('--env', 'Pendulum-v1', '--policy', policy, '--store', 'kept')).stderr;
    expect(await refusal('swong')).toBe(
      'hyperpolicy: model of kept: expected one of placeless, swing, got "swong". `random`, `zero` and the directory of a version are policies too\n',
    );
    expect(await refusal('swing@3')).toBe('hyperpolicy: version of "swing": expected one of 1, 2, got 3\n');
  });

  it.each([
    [['--env', 'Hopper-v5', '--out', 'a.mp4'], 1, '--out: expected a file that ends in .gif, .png, .json, got "a.mp4"'],
    [['--env', 'Nowhere'], 1, 'environment: expected one of '],
    [['--env', 'Pendulum-v1', '--context', '1'], 1, 'expected no context, as the environment poses one task only'],
    [
      ['--env', 'Pendulum-v1', '--policy', 'missing/1'],
      1,
      '`random`, `zero`, a published model such as my-model or my-model@3, or the directory of a version, such as .hyperpolicy/store/my-model/1, got "missing/1", which does not exist',
    ],
    [
      ['--env', 'Pendulum-v1', '--policy', '.'],
      1,
      'the directory of a version, such as .hyperpolicy/store/my-model/1, got ".", which has no manifest.json',
    ],
    [['--env', 'Pendulum-v1', '--colour', 'red'], 2, "unknown option '--colour'"],
    [['--env', 'Pendulum-v1', '--steps', '0'], 2, 'Expected an integer from 1 to'],
    [[], 2, "required option '--env <name>' not specified: `random` names no environment"],
    [['--policy', 'zero'], 2, "required option '--env <name>' not specified: `zero` names no environment"],
  ])('refuses %j in one line', async (args, code, message) => {
    const finished = await rollout(...args);
    expect(finished.code).toBe(code);
    expect(finished.stderr).toContain(message);
    expect(finished.stderr.trim().split('\n')).toHaveLength(1);
  });
});
