/** `hyperpolicy analyse STUDY`: studies of what was trained, a file each; trainer/analysis computes them. */

import { Command } from 'commander';
import { createGradientsCommand } from './analyse-gradients.ts';
import { createNoiseCommand } from './analyse-noise.ts';
import { createWeightsCommand } from './analyse-weights.ts';

export function createCommand(name: string): Command {
  return new Command(name)
    .description('Study what was trained. Nothing of it is changed.')
    .addCommand(createGradientsCommand('gradients'))
    .addCommand(createNoiseCommand('noise'))
    .addCommand(createWeightsCommand('weights'));
}
