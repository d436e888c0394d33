#!/usr/bin/env node
/**
 * The `hyperpolicy` command: runs the compiled one. npx links this file, which is there and executable before anything is built, and
 * stays so when dist/ is made anew.
 */

import { existsSync } from 'node:fs';

const compiled = new URL('../../dist/clients/cli/main.js', import.meta.url);
if (existsSync(compiled)) await import(compiled.href);
else {
  process.stderr.write('hyperpolicy: expected the compiled command in dist/, got none. Run npm run build\n');
  process.exitCode = 1;
}
