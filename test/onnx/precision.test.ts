/** The precision of an NVIDIA device is set before its libraries can be loaded, in the process, its threads and its children. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);

/** What a process, a child of it (which has what native code sees) and a thread of it have, after `body`. */
async function precisionAfter(body: string, given?: string): Promise<string[]> {
  const script = `
    import { execFileSync } from 'node:child_process';
    import { Worker } from 'node:worker_threads';
    ${body}
    const child = execFileSync('printenv', ['NVIDIA_TF32_OVERRIDE'], { encoding: 'utf8' }).trim();
    const thread = new Worker("require('node:worker_threads').parentPort.postMessage(process.env.NVIDIA_TF32_OVERRIDE)", { eval: true, execArgv: [] });
    thread.on('message', (value) => console.log(JSON.stringify([process.env.NVIDIA_TF32_OVERRIDE, child, value])));
  `;
  const { NVIDIA_TF32_OVERRIDE: _, ...others } = process.env;
  const env = { ...others, ...(given !== undefined && { NVIDIA_TF32_OVERRIDE: given }) };
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { env, cwd: process.cwd() });
  return JSON.parse(stdout) as string[];
}

const session = "await import('./dist/src/onnx/session.js');";
const set = (name: string) => `(await import('./dist/src/onnx/precision.js')).setPrecision('${name}');`;

test('a thread whose process set no precision is refused before it loads the libraries', async () => {
  const body = `import('./dist/src/onnx/precision.js').then(({ requirePrecision }) => {
    let told = 'nothing';
    try { requirePrecision(); } catch (error) { told = error.message; }
    require('node:worker_threads').parentPort.postMessage(told);
  })`;
  const script = `
    const { Worker } = require('node:worker_threads');
    new Worker(process.argv[1], { eval: true }).on('message', (told) => process.stdout.write(told));
  `;
  const told = async (env: NodeJS.ProcessEnv) =>
    (await run(process.execPath, ['--eval', script, body], { env })).stdout;
  const { NVIDIA_TF32_OVERRIDE: _, ...others } = process.env;
  expect(await told(others)).toBe(
    "the cuda device: expected NVIDIA_TF32_OVERRIDE in the process's environment: 0 for float32, 1 for TF32, got none. Load src/onnx/precision.ts in the main thread before a thread that runs graphs starts",
  );
  expect(await told({ ...others, NVIDIA_TF32_OVERRIDE: '0' })).toBe('nothing');
});

test('float32 is set where the runtime may be loaded', async () => {
  expect(await precisionAfter(session)).toEqual(['0', '0', '0']);
});

test('tf32 is set by name, and a variable of the user stays unless a precision is named', async () => {
  expect(await precisionAfter(`${session} ${set('tf32')}`)).toEqual(['1', '1', '1']);
  expect(await precisionAfter(session, '1')).toEqual(['1', '1', '1']);
  expect(await precisionAfter(`${session} ${set('float32')}`, '1')).toEqual(['0', '0', '0']);
});
