/**
 * Writes hyperpolicy/_generated.py: what the Python client has from the proto and from src/contract/status.ts. Part of `npm run generate`;
 * with --check it fails where the file is another.
 *
 * The messages are their descriptors, from which protobuf's runtime makes classes: code that protoc writes works with some releases of
 * that runtime only.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { transformSync } from '@swc/core';

const root = fileURLToPath(new URL('../../', import.meta.url));
const target = fileURLToPath(new URL('hyperpolicy/_generated.py', import.meta.url));

/** What the file has to be. */
async function render() {
  const { statusByKind, statusCodes } = await errorTable();
  const kinds = Object.keys(statusByKind).map((kind) => `    "${kind}",\n`);
  const statuses = Object.entries(statusByKind).map(([kind, status]) => `    "${kind}": "${status}",\n`);
  const codes = Object.entries(statusCodes).map(([name, code]) => `    ${code}: "${name}",\n`);
  const descriptors = serviceDescriptors()
    .toString('base64')
    .match(/.{1,100}/g);
  return `"""Written by generate.mjs from the proto and from src/contract/status.ts; never edited."""

from typing import Literal

ErrorKind = Literal[
${kinds.join('')}]

STATUS_BY_KIND: dict[ErrorKind, str] = {
${statuses.join('')}}

STATUS_BY_CODE: dict[int, str] = {
${codes.join('')}}

# A FileDescriptorSet in base64: tensor.proto and policy_service.proto.
DESCRIPTORS = (
${descriptors.map((line) => `    "${line}"\n`).join('')})
`;
}

/** The module is TypeScript, which this Node may not read, and imports types only. */
function errorTable() {
  const source = readFileSync(`${root}src/contract/status.ts`, 'utf8');
  const { code } = transformSync(source, { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' } });
  return import(`data:text/javascript,${encodeURIComponent(code)}`);
}

function serviceDescriptors() {
  const path = 'proto/hyperpolicy/v1/policy_service.proto';
  const args = ['build', '--exclude-source-info', '--as-file-descriptor-set', '--path', path, '-o', '-'];
  return execFileSync(`${root}node_modules/.bin/buf`, args, { cwd: root });
}

const text = await render();
if (!process.argv.includes('--check')) writeFileSync(target, text);
else if (readFileSync(target, 'utf8') !== text) {
  throw new Error(`${target}: expected what generate.mjs writes, got another text. Run "npm run generate"`);
}
