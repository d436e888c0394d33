/** `hyperpolicy analyse STUDY`: studies of what was trained, a file each. */

import { Command } from 'commander';
import { createNoiseCommand } from './analyse-noise.ts';

export function createCommand(name: string): Command {
  return new Command(name)
    .description('Study what was trained. Nothing of it is changed.')
    .addCommand(createNoiseCommand('noise'));
}
