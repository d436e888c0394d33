/** Runs Python with the client of this checkout; tests that need it are skipped with a line where its packages are missing. */

import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { testWith } from '../requirements.ts';

export const python = process.env.HYPERPOLICY_PYTHON ?? 'python3';
const packages = 'grpc, google.protobuf, numpy, pytest, gymnasium, mujoco';

export const pythonTest = testWith(
  spawnSync(python, ['-c', `import ${packages}`]).status === 0,
  'Python with the packages of its client and of its tests',
  'pip install ./clients/python pytest "gymnasium[mujoco]" mujoco==3.3.7, or name a Python that has them in HYPERPOLICY_PYTHON',
);

export const directory = fileURLToPath(new URL('./python/', import.meta.url));

/** With the client of this checkout. */
export const pythonEnvironment: NodeJS.ProcessEnv = {
  ...process.env,
  PYTHONPATH: fileURLToPath(new URL('../../clients/python', import.meta.url)),
  PYTHONDONTWRITEBYTECODE: '1',
};

/** Runs in `directory`. @returns what it printed, also to standard error where it failed */
export function runPython(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn(python, args, {
    cwd: directory,
    env: { ...pythonEnvironment, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  let error = '';
  child.stdout.on('data', (text) => {
    said += text;
  });
  child.stderr.on('data', (text) => {
    error += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, said: code === 0 ? said : `${said}${error}` }));
  });
}
