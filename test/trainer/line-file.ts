/** An environment file with a fault, for tests of how runs end. */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export type Fault = {
  readonly top?: string;
  readonly before?: string;
  readonly reward?: string;
  readonly observed?: string;
  readonly disposal?: string;
};

/**
 * Writes a file with a walk along a line to a goal, five steps long. Each part is code that sees `count`, steps of all instances so far.
 * @returns its path in the folder
 */
export async function writeLine(
  folder: string,
  name: string,
  { top = '', before = '', reward = '', observed = '', disposal = '' }: Fault,
): Promise<string> {
  const text = `
let count = 0;
${top}
export default () => ({
  name: 'line',
  specs: {
    observation: { names: ['x'], low: [null], high: [null], units: ['m'] },
    action: { names: ['step'], low: [-0.3], high: [0.3], units: ['m'] },
    context: { names: ['goal'], low: [-1], high: [1], units: ['m'], source: 'oracle' },
  },
  tasks: { draw(random, context) { context[0] = 2 * random.uniform() - 1; } },
  episodeStepCountMax: 5,
  stepDurationS: 0.1,
  x: 0,
  goal: 0,
  begin(random, context) { this.x = 0; this.goal = context[0]; },
  advance(action, outcome) {
    count += 1;
    ${before}
    this.x += Math.max(-0.3, Math.min(0.3, action[0]));
    outcome.reward = ${reward === '' ? '-Math.abs(this.x - this.goal)' : reward};
    outcome.terminated = false;
    return true;
  },
  observe(observation) { observation[0] = ${observed === '' ? 'this.x' : observed}; },
  capture() { return { x: Float64Array.of(this.x, this.goal) }; },
  reinstate({ x }) { [this.x, this.goal] = x; },
  dispose() { ${disposal} },
});
`;
  await writeFile(join(folder, `${name}.mjs`), text);
  return `./${name}.mjs`;
}
