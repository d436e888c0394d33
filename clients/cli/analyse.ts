/** `hyperpolicy analyse`: the analyses of the paper, on published models. A file for each; trainer/analysis computes them. */

import { Command } from 'commander';
import { gradientsCommand } from './analyse-gradients.ts';

export function createCommand(name: string): Command {
  return new Command(name)
    .description('Analyse published models as the paper does (Sarafian, Keynan, Kraus, ICML 2021).')
    .addCommand(gradientsCommand());
}
