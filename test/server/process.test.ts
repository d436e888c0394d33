import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createPolicyClient } from '../../clients/typescript/client.ts';
import { freePort } from '../free-port.ts';
import { plain, temporaryStore } from './fixtures.ts';
import { builtCommand, runToEnd, spawnServer } from './spawn.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

describe('the server process', () => {
  test('answers, and on SIGTERM under load ends with code 0 and no failed call', async () => {
    const store = await temporaryStore([plain]);
    const { child, address, lines } = await spawnServer(['--store', store, '--drain-ms', '5000']);
    const client = createPolicyClient({ address, timeoutMs: 60_000 });
    onTestFinished(() => client.close());
    let answered = 0;
    let terminated = false;
    const failures: unknown[] = [];
    const caller = async () => {
      for (;;) {
        try {
          await client.act({ model: 'plain', observation: [1, 2, 3] });
          answered++;
        } catch (error) {
          // Once it is gone there is nobody to connect to: that call never began.
          if (!terminated || !/refused connection|Connection dropped/.test(String(error))) failures.push(error);
          return;
        }
        if (answered === 200) {
          child.kill('SIGTERM');
          terminated = true;
        }
      }
    };
    const exit = once(child, 'exit');
    await Promise.all(Array.from({ length: 8 }, caller));
    expect(await exit).toEqual([0, null]);
    expect(failures).toEqual([]);
    expect(answered).toBeGreaterThanOrEqual(200);
    expect(lines.map(({ msg }) => msg)).toEqual(expect.arrayContaining(['draining', 'stopped']));
  });

  test('a thousand calls that expire at once harm neither each other nor a bystander', async () => {
    const store = await temporaryStore([
      { model: 'slow', policy: 'hyper', critic: 'none', observationSize: 1, actionSize: 1, trunkSizes: [16] },
    ]);
    // What is new waits for others for longer than the half of its time after which it is due; the other half is for a busy machine.
    const waiting = ['--batch-delay-ms', '6000', '--max-batch-rows', '2000', '--deadline-margin-ms', '6000'];
    const { address } = await spawnServer(['--store', store, '--max-requests', '4000', ...waiting]);
    const client = createPolicyClient({ address, timeoutMs: 60_000, keepaliveMs: 0 });
    onTestFinished(() => client.close());
    await client.listModels();
    const ask = (i: number) => ({ model: 'slow', observation: [i], context: [i, -i] });
    const calls = Array.from({ length: 1000 }, (_, i) =>
      client.act({ ...ask(i), fallback: 'safe' }, { timeoutMs: 11_600 }),
    );
    const bystander = client.listModels();
    const outcomes = await Promise.allSettled(calls);
    // On a machine that is too busy some expire at the client all the same; a connection that was cut would be another kind.
    const kinds = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason.kind] : []));
    expect(kinds.filter((kind) => kind !== 'deadline_exceeded')).toEqual([]);
    const standIns = outcomes.filter(
      (outcome) => outcome.status === 'fulfilled' && outcome.value.fallback !== undefined,
    );
    expect(standIns.length).toBeGreaterThan(0);
    expect(await bystander).toHaveLength(1);
    // What they asked for is made all the same.
    expect((await client.act(ask(0))).fallback).toBeUndefined();
  });

  test.each([1, 2])(
    'serves and ends, in %i processes, where no line of its log can be written',
    async (processCount) => {
      const store = await temporaryStore([plain]);
      const [port, metricsPort] = [await freePort(), await freePort()];
      const full = openSync('/dev/full', 'w');
      onTestFinished(() => closeSync(full));
      const flags = ['--store', store, '--port', `${port}`, '--metrics-port', `${metricsPort}`];
      const child = spawn(process.execPath, [builtCommand, 'serve', ...flags, '--processes', `${processCount}`], {
        stdio: ['ignore', full, 'pipe'],
      });
      onTestFinished(() => {
        child.kill('SIGKILL');
      });
      let error = '';
      child.stderr!.on('data', (text) => {
        error += text;
      });
      const page = async (path: string) =>
        (await fetch(`http://127.0.0.1:${metricsPort}${path}`, { signal: AbortSignal.timeout(5000) })).text();
      await expect.poll(() => page('/readyz').catch(String), { timeout: 30_000 }).toBe('ready\n');
      expect(await page('/metrics')).toMatch(/^hyperpolicy_log_lines_dropped_total [1-9]/m);
      const client = createPolicyClient({ address: `127.0.0.1:${port}`, timeoutMs: 30_000 });
      onTestFinished(() => client.close());
      expect((await client.act({ model: 'plain', observation: [1, 2, 3] })).version).toBe(1);
      const end = once(child, 'close');
      child.kill('SIGTERM');
      expect(await end).toEqual([0, null]);
      const told =
        'log: a line cannot be written to standard output (ENOSPC: no space left on device, write). ' +
        'It is dropped, as are others; hyperpolicy_log_lines_dropped_total counts them\n';
      // Once by each process; of several also by their parent.
      expect(error).toBe(told.repeat(processCount === 1 ? 1 : processCount + 1));
    },
  );

  test('a port in use is one line and exit code 1', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      taken.close();
    });
    const { port } = taken.address() as { port: number };
    const store = await temporaryStore();
    expect(await runToEnd(['serve', '--store', store, '--metrics-port', '0', '--port', String(port)])).toEqual({
      code: 1,
      error: `hyperpolicy: listening on 127.0.0.1:${port}: expected a free port, got one that is in use. Choose another port: --port N, or 0 for any that is free\n`,
    });
    expect(await runToEnd(['serve', '--store', store, '--port', '0', '--metrics-port', String(port)])).toEqual({
      code: 1,
      error: `hyperpolicy: listening on 127.0.0.1:${port}: expected a free port, got one that is in use. Choose another metrics port: --metrics-port N, or 0 for any that is free\n`,
    });
  });

  test('an address of another machine is told so, in brackets where it is IPv6', async () => {
    const store = await temporaryStore();
    const ports = ['--store', store, '--port', '0', '--metrics-port', '0'];
    const addresses = { '203.0.113.1': '203.0.113.1:0', '2001:db8::1': '[2001:db8::1]:0' };
    for (const [host, address] of Object.entries(addresses)) {
      expect(await runToEnd(['serve', ...ports, '--host', host])).toEqual({
        code: 1,
        error: `hyperpolicy: listening on ${address}: expected an address of this machine, got one that it does not have. Choose another: --host ADDRESS, or 0.0.0.0 for every one\n`,
      });
    }
  });
});

describe("the server's code", () => {
  /** Every module that a file reaches by static and lazy imports. */
  function reach(file: string, seen = new Set<string>()): Set<string> {
    if (seen.has(file)) return seen;
    seen.add(file);
    for (const [, specifier] of readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)) {
      if (specifier!.startsWith('.')) reach(join(file, '..', specifier!), seen);
      else seen.add(specifier!);
    }
    return seen;
  }

  const serverFiles = () =>
    readdirSync(join(root, 'server'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));

  test('never loads tfjs, MuJoCo or the trainer', () => {
    const files = serverFiles();
    const reached = files.flatMap((name) => [...reach(join(root, 'server', name))]);
    expect(reached).toContain('@grpc/grpc-js');
    expect(reached.filter((name) => /tensorflow|mujoco|\/trainer\/|\/src\/(nn|trace|envs|optim)\//.test(name))).toEqual(
      [],
    );
  });

  test('only the grpc files touch the gRPC library', () => {
    const touching = serverFiles()
      .filter((name) => /from '@grpc\//.test(readFileSync(join(root, 'server', name), 'utf8')))
      .map((name) => basename(name));
    expect(touching).toContain('grpc.ts');
    expect(touching.filter((name) => !/^grpc[-.]/.test(name))).toEqual([]);
  });
});
