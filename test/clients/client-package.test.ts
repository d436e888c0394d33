/**
 * The client's own package, packed and installed in an empty folder: what is in it, the programs of its READMEs, its types, and its program
 * for browsers in a real one. Needs the built files.
 */

import { execFile, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { testWith } from '../requirements.ts';
import { startTestServer, temporaryStore } from '../server/fixtures.ts';
import { spawnServer } from '../server/spawn.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'hyperpolicy-client-installed-'));
const installed = join(folder, 'node_modules/hyperpolicy-client');
const readJson = async (path: string) => JSON.parse(await readFile(path, 'utf8'));

type Packed = { readonly filename: string; readonly size: number; readonly files: readonly { path: string }[] };
let packed: Packed;

beforeAll(async () => {
  const assembled = join(folder, 'assembled');
  await run(process.execPath, [join(root, 'clients/typescript/assemble.mjs'), assembled]);
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: assembled });
  [packed] = JSON.parse(stdout) as [Packed];
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  await run('npm', ['install', ...flags, join(folder, packed.filename)], { cwd: folder });
}, 300_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

test('has what a client needs and no server, and the versions of this repository', async () => {
  const places = new Set(packed.files.map(({ path }) => path.split('/').slice(0, 3).join('/')));
  expect([...places].sort()).toEqual([
    'LICENSE',
    'README.md',
    'dist/clients/robot',
    'dist/clients/typescript',
    'dist/src/contract',
    'dist/src/gen',
    'package.json',
  ]);
  expect(packed.size).toBeLessThan(200_000);
  const [own, whole] = [await readJson(join(installed, 'package.json')), await readJson(join(root, 'package.json'))];
  expect([own.version, own.engines, own.license]).toEqual([whole.version, whole.engines, whole.license]);
  expect(whole.dependencies).toMatchObject(own.dependencies);
  const names = await readdir(join(folder, 'node_modules'));
  expect(names.filter((name) => /onnx|tensorflow|mujoco|pino|connectrpc/.test(name))).toEqual([]);
});

test.each([
  {
    of: 'typescript',
    ending: 'console.log(stream.ended, stream.version);',
    said: /^100 actions of version 1, \d+ of them held\ntrue 1\n$/,
  },
  { of: 'robot', ending: 'console.log(stream.ended);', said: /^[\d.]+ [\d.]+ \{.*\}\ntrue\n$/ },
])('the first program of clients/$of/README.md runs', async ({ of, ending, said }) => {
  const size = { observationSize: 17, actionSize: 6, hiddenSize: 8 };
  const store = await temporaryStore([{ model: 'halfcheetah-quickstart', policy: 'plain', critic: 'none', ...size }]);
  const { address } = await spawnServer(['--store', store]);
  const [program] = await programsOf(of);
  await writeFile(join(folder, `${of}.mjs`), `${program!.replace('127.0.0.1:50051', address)}\n${ending}\n`);
  const { stdout } = await run(process.execPath, [`${of}.mjs`], { cwd: folder });
  expect(stdout).toMatch(said);
});

const programsOf = async (of: string): Promise<string[]> => {
  const readme = await readFile(join(root, 'clients', of, 'README.md'), 'utf8');
  return [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, program]) => program!);
};

const typed = `
import { createConnectClient, HyperpolicyError, type Tensor } from 'hyperpolicy-client/connect';

export async function act(url: string): Promise<Tensor | string> {
  const client = createConnectClient({ url, timeoutMs: 200 });
  try {
    return (await client.act({ model: 'none', observation: new Float32Array(17) })).action;
  } catch (error) {
    return error instanceof HyperpolicyError ? error.kind : 'other';
  } finally {
    client.close();
  }
}
// @ts-expect-error: no such option.
export const misspelt = () => createConnectClient({ ulr: '' });
document.title = String(await act(location.href));
`;

test('compilers have its types, those of browsers without any of Node', async () => {
  await writeFile(join(folder, 'page.ts'), typed);
  await writeFile(
    join(folder, 'program.ts'),
    `import { createPolicyClient, createConnectClient } from 'hyperpolicy-client';
import { createController } from 'hyperpolicy-client/robot';
console.log(typeof createPolicyClient, typeof createConnectClient, typeof createController);
`,
  );
  const tsc = join(root, 'node_modules/.bin/tsc');
  const strict = '--target es2023 --strict --outDir out'.split(' ');
  const browser = '--module preserve --moduleResolution bundler --lib es2023,dom --types'.split(' ');
  await run(tsc, ['page.ts', ...strict, ...browser, ''], { cwd: folder });
  const node = ['--module', 'nodenext', '--skipLibCheck', '--types', 'node'];
  await run(tsc, ['program.ts', ...strict, ...node, '--typeRoots', join(root, 'node_modules/@types')], { cwd: folder });
  const { stdout } = await run(process.execPath, ['out/program.js'], { cwd: folder });
  expect(stdout).toBe('function function function\n');
});

const chromium = ['chromium', 'chromium-browser', 'google-chrome'].find(
  (name) => spawnSync(name, ['--version']).status === 0,
);
const browserTest = testWith(chromium !== undefined, 'Chromium', 'apt-get install chromium');

browserTest('the program for browsers runs in one', { timeout: 240_000 }, async () => {
  const page = await servePage();
  const { server } = await startTestServer(
    [{ model: 'halfcheetah-quickstart', policy: 'plain', critic: 'none', observationSize: 17, actionSize: 6 }],
    { httpPort: 0, httpOrigins: [page.origin] },
  );
  const program = (await programsOf('typescript')).find((text) => text.includes('document.'))!;
  page.serve(program.replace('http://127.0.0.1:8080', `http://127.0.0.1:${server.httpPort}`));
  const profile = await mkdtemp(join(tmpdir(), 'hyperpolicy-chromium-'));
  const flags = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    `--user-data-dir=${profile}`,
  ];
  const browser = spawn(chromium!, [...flags, page.origin], { stdio: 'ignore', detached: true });
  onTestFinished(async () => {
    process.kill(-browser.pid!, 'SIGKILL');
    await rm(profile, { recursive: true, force: true, maxRetries: 20 });
  });
  expect(await page.said).toMatch(/^version 1: action (-?[\d.e-]+,){5}-?[\d.e-]+$/);
});

/** Serves the installed packages and a page that runs a program of them, and hears what the program wrote into the page. */
async function servePage() {
  let program = '';
  let hear = (_text: string) => {};
  const said = new Promise<string>((resolve) => {
    hear = resolve;
  });
  const imports = { 'hyperpolicy-client/connect': await fileOf('hyperpolicy-client', './connect') };
  for (const path of ['.', './codegenv2']) {
    Object.assign(imports, { [join('@bufbuild/protobuf', path)]: await fileOf('@bufbuild/protobuf', path) });
  }
  const html = () => `<!doctype html><head><meta charset="utf-8">
<script>addEventListener('error', ({ message }) => tell(message));
addEventListener('unhandledrejection', ({ reason }) => tell(String(reason)));
const tell = (body) => fetch('/said', { method: 'POST', body });</script>
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module">${program}
tell(document.body.textContent);</script></head><body></body>`;
  const server = createServer(async (request, response) => {
    const { url = '' } = request;
    if (url === '/said') {
      hear(await bodyOf(request));
      response.end();
    } else if (url === '/') response.writeHead(200, { 'content-type': 'text/html' }).end(html());
    else {
      const file = join(folder, new URL(url, 'http://page').pathname);
      const type = extname(file) === '.js' ? 'text/javascript' : 'text/plain';
      await readFile(file).then(
        (bytes) => response.writeHead(200, { 'content-type': type }).end(bytes),
        () => response.writeHead(404).end(),
      );
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    said,
    serve(text: string) {
      program = text;
    },
  };
}

/** Where a browser finds what a package exports. */
async function fileOf(name: string, path: string): Promise<string> {
  const { exports } = await readJson(join(folder, 'node_modules', name, 'package.json'));
  const { browser, import: module, default: file } = exports[path];
  return join('/node_modules', name, browser ?? module?.default ?? module ?? file);
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString();
}
