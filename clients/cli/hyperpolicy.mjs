#!/usr/bin/env node
/**
 * The `hyperpolicy` command: runs the compiled command. npx links to this file: it exists before the build, and stays when dist/ is built
 * anew.
 */

import { existsSync } from 'node:fs';

const compiled = new URL('../../dist/clients/cli/main.js', import.meta.url);
if (existsSync(compiled)) await import(compiled.href);
else {
  process.stderr.write('hyperpolicy: expected the compiled command in dist/, got none. Run npm run build\n');
  process.exitCode = 1;
}
