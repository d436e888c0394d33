/**
 * Makes dist/client-package, the package of the client alone: its manifest and README, and of the compiled files (`npm run build`) those
 * that its exports import. `npm run package:client` builds before.
 */

import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('./', import.meta.url));
const root = fileURLToPath(new URL('../../', import.meta.url));
const target = process.argv[2] ?? join(root, 'dist/client-package');

/** Every compiled file that these import, types included, without its ending. */
function reached(entries) {
  const found = new Set();
  const follow = (stem) => {
    if (found.has(stem)) return;
    found.add(stem);
    for (const ending of ['.js', '.d.ts']) {
      const file = join(root, `${stem}${ending}`);
      if (!existsSync(file)) throw new Error(`${file}: expected a compiled file, got none. Run "npm run build"`);
      const text = readFileSync(file, 'utf8');
      for (const [, path] of text.matchAll(/(?:from|import\()\s*['"](\.[^'"]+)\.[jt]s['"]/g)) {
        follow(join(dirname(stem), path));
      }
    }
  };
  for (const entry of entries) follow(entry.replace(/^\.\//, '').replace(/\.js$/, ''));
  return found;
}

const { exports } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));
const entries = Object.values(exports).flatMap(({ browser, default: file }) => [browser, file].filter(Boolean));
const stems = reached(entries);
rmSync(target, { recursive: true, force: true });
for (const stem of stems) {
  mkdirSync(join(target, dirname(stem)), { recursive: true });
  for (const ending of ['.js', '.d.ts']) cpSync(join(root, `${stem}${ending}`), join(target, `${stem}${ending}`));
}
for (const name of ['package.json', 'README.md']) cpSync(join(here, name), join(target, name));
cpSync(join(root, 'LICENSE'), join(target, 'LICENSE'));
