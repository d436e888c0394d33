/** Runs the built `hyperpolicy` command as a process of its own. */

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../dist/clients/cli/main.js', import.meta.url));

export type Finished = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

export type Running = {
  readonly process: ChildProcess;
  readonly finished: Promise<Finished>;
  /** Resolves once standard output or error has matched. */
  until(pattern: RegExp): Promise<void>;
};

/** Starts the command with its arguments in a working directory. @param file the compiled command; this checkout's unless given */
export const startCommand = (args: readonly string[], cwd: string, file = main): Running =>
  startProcess(process.execPath, [file, ...args], { cwd });

/** Starts any program. With `detached` it leads a process group of its own, as a command of a shell does. */
export function startProcess(
  program: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly detached?: boolean },
): Running {
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const check of waiting) check();
  };
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    wake();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    wake();
  });
  const finished = new Promise<Finished>((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
  return {
    process: child,
    finished,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const check = () => {
          if (!pattern.test(stdout + stderr)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
        void finished.then(() => reject(new Error(`the command ended without ${pattern}: ${stdout}${stderr}`)));
      }),
  };
}

export const runCommand = (args: readonly string[], cwd: string): Promise<Finished> => startCommand(args, cwd).finished;
