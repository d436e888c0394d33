/** An installation whose CUDA provider is there and does not load, as where its libraries are missing: `--device auto` tries it on any machine. */

import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { libraryFolder } from '../../src/onnx/providers.ts';

/** Whether ONNX Runtime knows the provider here. */
export const knowsCuda = process.platform === 'linux' && process.arch === 'x64';

/** @param folder an empty one @returns the command of the installation; needs the built command */
export function installBrokenProvider(folder: string): string {
  const filter = (path: string) => !path.endsWith('.map') && !path.startsWith(resolve('dist/test'));
  cpSync(resolve('dist'), join(folder, 'dist'), { recursive: true, filter });
  cpSync('package.json', join(folder, 'package.json'));
  const [modules, runtime] = [join(folder, 'node_modules'), 'onnxruntime-node'];
  mkdirSync(modules);
  for (const name of readdirSync('node_modules')) {
    if (name !== runtime) symlinkSync(resolve('node_modules', name), join(modules, name));
  }
  // Only what this platform needs: 46 MB.
  const libraries = libraryFolder();
  const of = resolve('node_modules', runtime);
  const others = (path: string) =>
    path.startsWith(join(of, 'bin')) && !libraries.startsWith(path) && !path.startsWith(libraries);
  cpSync(of, join(modules, runtime), { recursive: true, filter: (path) => !others(path) });
  const target = join(modules, runtime, libraries.slice(of.length));
  for (const name of ['cuda', 'shared']) {
    const path = join(target, `libonnxruntime_providers_${name}.so`);
    // It may be a link to the real one.
    rmSync(path, { force: true });
    writeFileSync(path, '');
  }
  return join(folder, 'dist/clients/cli/main.js');
}
