/** The sections of the device check, in the order in which they run. */

import { latencies } from './latencies.ts';
import { memory } from './memory.ts';
import { placement } from './placement.ts';
import type { Section } from './section.ts';
import { serving } from './serving.ts';
import { training } from './training.ts';
import { webgpu } from './webgpu.ts';

export const sections: Readonly<Record<string, (section: Section) => Promise<void>>> = {
  serving,
  latencies,
  training,
  memory,
  placement,
  webgpu,
};
