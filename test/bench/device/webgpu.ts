/** Where a Vulkan driver is found beside CUDA's: every kind of package is served on webgpu too. */

import { opening } from './opening.ts';
import type { Section } from './section.ts';
import { serving } from './serving.ts';

export async function webgpu(section: Section): Promise<void> {
  const { isOpen, why } = await opening('webgpu', section);
  if (isOpen) await serving({ ...section, device: 'webgpu' });
  else section.lines.note('webgpu is left out', { why });
}
