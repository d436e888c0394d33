/** The allow-list of imports (.dependency-cruiser.mjs): it fails what it should, and the command loads lazily. */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from '@swc/core';
import { cruise, type IConfiguration, type ICruiseResult } from 'dependency-cruiser';
import { describe, expect, onTestFinished, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const { default: configuration } = await import(join(root, '.dependency-cruiser.mjs'));
const { options, ...ruleSet } = configuration as IConfiguration;

/** The violations in a repository that has these files, each with its text. */
async function violations(files: Readonly<Record<string, string>>): Promise<string[]> {
  const directory = mkdtempSync(join(tmpdir(), 'imports-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), `${text};\nexport const x = 1;\n`);
  }
  const { output } = await cruise(['.'], { ...options, ruleSet, validate: true, baseDir: directory });
  return (output as ICruiseResult).summary.violations
    .map(({ from, to, rule }) => `${rule.name}: ${from} -> ${to.replace('/index.js', '')}`)
    .sort();
}

/** Each imports the next file, and has a name of its own. */
function pairs(list: readonly (readonly [from: string, to: string])[]): Record<string, string> {
  const files: Record<string, string> = {};
  for (const [from, to] of list) {
    files[from] =
      `import '${to.startsWith('node_modules/') ? to.slice('node_modules/'.length) : `${'../'.repeat(from.split('/').length - 1)}${to}`}'`;
    files[to.startsWith('node_modules/') ? `${to}/index.js` : to] ??= '';
  }
  return files;
}

describe('the allow-list of imports', () => {
  test('lets a folder import what it is open to', async () => {
    const open = [
      ['server/call/a.ts', 'src/contract/b.ts'],
      ['server/call/c.ts', 'node:fs'],
      ['server/transport/a.ts', 'server/call/a.ts'],
      ['server/transport/b.ts', 'node_modules/@grpc/grpc-js'],
      ['trainer/algorithms/sac/a.ts', 'trainer/off-policy/b.ts'],
      ['trainer/train.ts', 'trainer/algorithms/registry.ts'],
      ['trainer/algorithms/registry.ts', 'trainer/algorithms/sac/a.ts'],
      ['src/nn/hyper/a.ts', 'src/nn/b.ts'],
      ['test/server/a.test.ts', 'server/transport/a.ts'],
    ] as const;
    const files = { ...pairs(open), 'server/call/c.ts': "import 'node:fs'" };
    delete (files as Record<string, string>)['node:fs'];
    expect(await violations(files)).toEqual([]);
  });

  test('fails every other import', async () => {
    const closed = [
      // Upwards, in the server.
      ['server/call/a.ts', 'server/transport/b.ts'],
      ['server/main.ts', 'server/processes/b.ts'],
      // Across.
      ['trainer/run/a.ts', 'server/config.ts'],
      ['server/methods/a.ts', 'trainer/run/b.ts'],
      ['server/models/a.ts', 'src/nn/b.ts'],
      ['clients/typescript/a.ts', 'server/config.ts'],
      ['clients/typescript/b.ts', 'trainer/run/b.ts'],
      ['src/contract/a.ts', 'test/b.ts'],
      ['src/trace/a.ts', 'src/nn/b.ts'],
      // One algorithm and another, and what is shared and an algorithm.
      ['trainer/algorithms/sac/a.ts', 'trainer/algorithms/td3/b.ts'],
      ['trainer/off-policy/a.ts', 'trainer/algorithms/td3/b.ts'],
      // What runs every algorithm, and one of them.
      ['trainer/train.ts', 'trainer/algorithms/td3/b.ts'],
      // Folders that are not listed.
      ['server/new/a.ts', 'src/contract/b.ts'],
      ['server/call/b.ts', 'server/call/new/b.ts'],
      ['trainer/algorithms/new/a.ts', 'src/contract/b.ts'],
      ['test/a.test.ts', 'tools/b.ts'],
      // Packages.
      ['server/models/b.ts', 'node_modules/@tensorflow/tfjs-core'],
      ['server/models/c.ts', 'node_modules/mujoco-js'],
      ['server/methods/b.ts', 'node_modules/@grpc/grpc-js'],
      ['src/trace/c.ts', 'node_modules/onnxruntime-node'],
      ['clients/cli/a.ts', 'node_modules/@grpc/grpc-js'],
    ] as const;
    expect(await violations(pairs(closed))).toEqual(
      closed.map(([from, to]) => `not-in-allowed: ${from} -> ${to}`).sort(),
    );
  });

  test('fails it however it is written', async () => {
    const ways = [
      (name: string) => `import '${name}'`,
      (name: string) => `import { x } from '${name}'`,
      (name: string) => `import type { x } from '${name}'`,
      (name: string) => `export * from '${name}'`,
      (name: string) => `export type { x } from '${name}'`,
      (name: string) => `await import('${name}')`,
    ];
    const files = Object.fromEntries(ways.map((way, i) => [`server/call/${i}.ts`, way('../transport/b.ts')]));
    expect(await violations({ ...files, 'server/transport/b.ts': '' })).toEqual(
      ways.map((_, i) => `not-in-allowed: server/call/${i}.ts -> server/transport/b.ts`),
    );
  });

  test('fails a circle, also one of types alone', async () => {
    const found = await violations({
      'server/call/a.ts': "import type { x } from './b.ts'",
      'server/call/b.ts': "import type { x } from './a.ts'",
    });
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/^no-circular: server\/call\//);
  });

  test('no file hides an import in a type, where the tool does not look', () => {
    const files = ['src', 'trainer', 'server', 'clients', 'test'].flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.ts'))
        .map((name) => join(folder, name)),
    );
    expect(files.length).toBeGreaterThan(400);
    const hides = (text: string) =>
      JSON.stringify(parseSync(text, { syntax: 'typescript', target: 'es2022' })).includes('"TsImportType"');
    expect(hides("type A = typeof import('./a.ts')")).toBe(true);
    const suspects = files.filter((file) => readFileSync(join(root, file), 'utf8').includes('import('));
    expect(suspects.filter((file) => hides(readFileSync(join(root, file), 'utf8')))).toEqual([]);
  });
});

test('the command imports trainer and server when a subcommand needs them', async () => {
  const forbidden = {
    name: 'eager',
    severity: 'error' as const,
    from: { path: '^dist/clients/cli/' },
    to: {
      path: '^dist/(trainer|server)/',
      pathNot: '^dist/server/config\\.js$',
      dependencyTypesNot: ['dynamic-import' as const],
    },
  };
  const { output } = await cruise(['dist/clients/cli/main.js'], {
    baseDir: root,
    doNotFollow: { path: '^node_modules/' },
    moduleSystems: ['es6'],
    ruleSet: { forbidden: [forbidden] },
    validate: true,
  });
  const { modules, summary } = output as ICruiseResult;
  expect(modules.map(({ source }) => source)).toContain('dist/server/main.js');
  expect(summary.violations).toEqual([]);
});
