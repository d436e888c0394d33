/** The subcommands of `hyperpolicy models` that change what a server serves, through its admin port. */

import { Command, InvalidArgumentError } from 'commander';
import { writtenNumber } from '../../src/contract/written-number.ts';
import { type AdminClient, createAdminClient } from '../typescript/admin.ts';
import {
  connectionOf,
  integerIn,
  parseAddress,
  printJson,
  type SecurityOptions,
  withSecurityOptions,
} from './options.ts';

type AdminOptions = SecurityOptions & { readonly admin: string; readonly model: string };

export function adminCommands(): Command[] {
  const version = ['--model-version <number>', 'the version', integerIn(1, 2 ** 32 - 1)] as const;
  return [
    command<{ modelVersion: number }>(
      'load',
      'Serve a version that was unloaded or rolled back, or an old one beside the newest. It gets the label "vN" (v3 for version 3), also the newest, and keeps it until "unload".',
      (admin, { model, modelVersion }) => admin.loadVersion(model, modelVersion),
    ).requiredOption(...version),
    command<{ modelVersion: number }>(
      'unload',
      'Stop serving a version until it is loaded again. Move its labels to other versions first.',
      (admin, { model, modelVersion }) => admin.unloadVersion(model, modelVersion),
    ).requiredOption(...version),
    command<{ label: string; modelVersion?: number }>(
      'label',
      'Point a label at a version; without --model-version, remove the label.',
      (admin, options) => admin.setLabel(options.model, options.label, options.modelVersion),
    )
      .requiredOption('--label <label>', 'the label')
      .option(...version),
    command<{ split: Record<string, number> }>(
      'traffic',
      'Split the traffic of clients that name no version between labels. A client_id always gets the same label.',
      (admin, { model, split }) => admin.setTraffic(model, split),
    ).requiredOption(
      '--split <shares>',
      'percentages that sum to 100: stable=90,canary=10; "" ends the split',
      parseShares,
    ),
    command(
      'rollback',
      'Withdraw the newest version: the one before it answers, until "load" brings it back.',
      (admin, { model }) => admin.rollback(model),
    ),
  ];
}

function command<T>(
  name: string,
  description: string,
  change: (admin: AdminClient, options: AdminOptions & T) => Promise<unknown>,
): Command {
  return withSecurityOptions(new Command(name))
    .description(description)
    .requiredOption('--model <name>', 'name of the model')
    .requiredOption('--admin <host:port>', "the server's admin port (serve --admin-port)", parseAddress)
    .action(async (options: AdminOptions & T) => {
      const admin = createAdminClient(connectionOf({ ...options, server: options.admin, timeoutMs: 60_000 }));
      try {
        printJson(await change(admin, options));
      } finally {
        admin.close();
      }
    });
}

function parseShares(text: string): Record<string, number> {
  if (text === '') return {};
  const pairs = text.split(',').map((pair) => /^([^=]+)=([^=]+)$/.exec(pair.trim()));
  const shares = pairs.map((pair) => [pair?.[1] ?? '', writtenNumber(pair?.[2] ?? '')] as const);
  const labels = new Set(shares.map(([label]) => label));
  if (labels.size < shares.length || !shares.every(([, share]) => share >= 0)) {
    throw new InvalidArgumentError('Expected label=percentage,..., each label once');
  }
  return Object.fromEntries(shares);
}
