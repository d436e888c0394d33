import { execFile, spawn } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import * as api from '@opentelemetry/api';
import * as core from '@opentelemetry/core';
import * as otlp from '@opentelemetry/exporter-trace-otlp-http';
import * as resources from '@opentelemetry/resources';
import * as sdk from '@opentelemetry/sdk-trace';
import { expect, onTestFinished, test } from 'vitest';
import { loadOpenTelemetry, type OpenTelemetry } from '../../src/tracing/open-telemetry.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-optional-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  return directory;
}

const run = (args: readonly string[]) =>
  new Promise<{ code: unknown; out: string; error: string }>((resolve) => {
    execFile(process.execPath, args, { timeout: 50_000 }, (failure, out, error) => {
      resolve({ code: failure === null ? 0 : failure.code, out, error });
    });
  });

/** A copy of these, beside every package that is installed but for those of OpenTelemetry. */
async function installWithout(...copied: readonly string[]): Promise<string> {
  const directory = await temporaryDirectory();
  for (const name of ['package.json', ...copied]) {
    cpSync(join(root, name), join(directory, name), { recursive: true });
  }
  const packages = readdirSync(join(root, 'node_modules')).filter((name) => !name.startsWith('.'));
  mkdirSync(join(directory, 'node_modules'));
  for (const name of packages) {
    if (name === '@opentelemetry') continue;
    symlinkSync(join(root, 'node_modules', name), join(directory, 'node_modules', name));
  }
  return directory;
}

test('what is described of OpenTelemetry is what its packages have', async () => {
  // Checked by the compiler; samplers and processors of the SDK are opaque to the server, and so not comparable.
  const described: Omit<OpenTelemetry, 'sdk'> = { api, core, resources, otlp };
  expect(await loadOpenTelemetry()).toEqual({ ...described, sdk });
});

test('the compiler asks for no optional package', async () => {
  const parts = ['src', 'server', 'trainer', 'clients/typescript', 'clients/cli'];
  const directory = await installWithout(...parts, 'tsconfig.json', 'tsconfig.build.json');
  const project = join(directory, 'tsconfig.check.json');
  const compilerOptions = { noEmit: true, incremental: false, tsBuildInfoFile: null };
  writeFileSync(project, JSON.stringify({ extends: './tsconfig.build.json', compilerOptions, include: parts }));
  expect(await run([join(root, 'node_modules/typescript/bin/tsc'), '-p', project])).toEqual({
    code: 0,
    out: '',
    error: '',
  });
});

test('without them it serves; where traces are asked for, the error has the command that installs them', async () => {
  const command = join(await installWithout('dist'), 'dist/clients/cli/main.js');
  const store = await temporaryDirectory();
  const serve = [command, 'serve', '--store', store, '--port', '0', '--metrics-port', '0', '--workers', '1'];
  expect(await run([...serve, '--trace-endpoint', 'http://127.0.0.1:9/v1/traces', '--log-level', 'silent'])).toEqual({
    code: 1,
    out: '',
    error:
      'hyperpolicy: traces: expected the optional packages of OpenTelemetry, got no @opentelemetry/api. Install them with "npm ci --include=optional", or set no trace endpoint\n',
  });
  const child = spawn(process.execPath, serve, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const messages: unknown[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const { msg } = JSON.parse(line) as { msg: unknown };
    messages.push(msg);
    if (msg === 'serving') child.kill('SIGTERM');
  }
  expect(messages).toEqual(['serving', 'no model is ready', 'draining', 'stopped']);
});
