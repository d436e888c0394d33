/**
 * Writes what every client has of the one table of errors, src/contract/error-kinds.json: for TypeScript, Python and C++; for Python the
 * messages of the proto as well. Part of `npm run generate`; with --check it fails where a file is another.
 *
 * Python's messages are their descriptors, from which protobuf's runtime makes classes: code that protoc writes works with some releases of
 * that runtime only.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const { statuses, kinds } = JSON.parse(readFileSync(`${root}src/contract/error-kinds.json`, 'utf8'));

const origin = 'Written by clients/generate.mjs from src/contract/error-kinds.json';
const lines = (table, line) => Object.entries(table).map(line).join('\n');

const typescript = () => `/** ${origin}; never edited. */

/** gRPC's canonical codes that are used here, by number. */
export const statusCodes = {
${lines(statuses, ([status, code]) => `  ${status}: ${code},`)}
} as const;

export type StatusName = keyof typeof statusCodes;

/** The kinds of error, and the status that each travels as. */
export const statusByKind = {
${lines(kinds, ([kind, { status, means }]) => `  /** ${means} */\n  ${kind}: '${status}',`)}
} as const satisfies Readonly<Record<string, StatusName>>;

export type ErrorKind = keyof typeof statusByKind;
`;

const python = () => `"""${origin} and from the proto; never edited."""

from typing import Literal

ErrorKind = Literal[
${lines(kinds, ([kind, { means }]) => `    # ${means}\n    "${kind}",`)}
]

STATUS_BY_KIND: dict[ErrorKind, str] = {
${lines(kinds, ([kind, { status }]) => `    "${kind}": "${status}",`)}
}

STATUS_BY_CODE: dict[int, str] = {
${lines(statuses, ([status, code]) => `    ${code}: "${status}",`)}
}

# A FileDescriptorSet in base64: tensor.proto and policy_service.proto.
DESCRIPTORS = (
${serviceDescriptors()
  .toString('base64')
  .match(/.{1,100}/g)
  .map((line) => `    "${line}"`)
  .join('\n')}
)
`;

const cpp = () => `// ${origin}; never edited.
#pragma once

namespace robot {

// A kind of error, and the status that it travels as. Where kinds share a status, the last one is what the status alone means.
struct ErrorKind {
  const char* kind;
  const char* status;
  int code;
};

constexpr ErrorKind error_kinds[] = {
${lines(kinds, ([kind, { status, means }]) => `    // ${means}\n    {"${kind}", "${status}", ${statuses[status]}},`)}
};

}  // namespace robot
`;

function serviceDescriptors() {
  const path = 'proto/hyperpolicy/v1/policy_service.proto';
  const args = ['build', '--exclude-source-info', '--as-file-descriptor-set', '--path', path, '-o', '-'];
  return execFileSync(`${root}node_modules/.bin/buf`, args, { cwd: root });
}

const files = {
  'src/contract/error-kinds.ts': typescript(),
  'clients/python/hyperpolicy/_generated.py': python(),
  'clients/robot/cpp/error-kinds.hpp': cpp(),
};
for (const [file, text] of Object.entries(files)) {
  if (!process.argv.includes('--check')) writeFileSync(root + file, text);
  else if (readFileSync(root + file, 'utf8') !== text) {
    throw new Error(`${file}: expected what clients/generate.mjs writes, got another text. Run "npm run generate"`);
  }
}
