/** Where a Vulkan driver is found beside CUDA's: every kind of package is served on webgpu too. */

import { fileURLToPath } from 'node:url';
import { runToEnd } from '../serve-processes.ts';
import type { Section } from './section.ts';
import { serving } from './serving.ts';

const openMs = 60_000;

export async function webgpu(section: Section): Promise<void> {
  const { lines, signal } = section;
  const said: string[] = [];
  const opens = fileURLToPath(new URL('./opens.js', import.meta.url));
  const how = await runToEnd(process.execPath, [opens, 'webgpu'], {
    signal,
    limitMs: openMs,
    onLine: (line) => said.push(line),
  });
  if (how === 'exit code 0') await serving({ ...section, device: 'webgpu' });
  else lines.note('webgpu is left out', { why: [...said, how].join('; ') });
}
