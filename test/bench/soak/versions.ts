/** What an operator does meanwhile: publishes versions, rolls back, labels, splits traffic, clears old versions away. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type AdminClient, createAdminClient } from '../../../clients/typescript/admin.ts';
import { createPolicyClient, type PolicyClient } from '../../../clients/typescript/client.ts';
import { publishRandomPackage } from '../../../trainer/export/random-package.ts';
import { models, sizes } from './calls.ts';
import type { SoakServer } from './server.ts';

/** Versions that stay in the store beside those that are served. */
const keptCount = 4;

export const packages = {
  hyper: {
    model: models.hyper,
    policy: 'hyper',
    critic: 'hyper',
    ...sizes,
    stochastic: true,
    trunkSizes: [64],
    hiddenSize: 32,
  },
  latent: {
    model: models.latent,
    policy: 'hyper',
    critic: 'none',
    ...sizes,
    stochastic: true,
    encoder: true,
    trunkSizes: [64],
    hiddenSize: 32,
  },
  plain: { model: models.plain, policy: 'plain', critic: 'plain', ...sizes, contextSize: 0, hiddenSize: 64 },
} as const;

export type Operator = {
  /** One round of changes. */
  work(): Promise<void>;
  /** Versions published so far. */
  readonly publishedCount: number;
  readonly rollbackCount: number;
  close(): void;
};

export function createOperator(server: SoakServer, store: string): Operator {
  const admin = createAdminClient({ address: server.adminAddress });
  const client = createPolicyClient({ address: server.address, timeoutMs: 30_000 });
  let round = 0;
  let publishedCount = 0;
  let rollbackCount = 0;

  async function publish(): Promise<{ readonly model: string; readonly version: number }> {
    const kind = round % 3 === 2 ? packages.plain : packages.hyper;
    const { version } = await publishRandomPackage({ store, ...kind, seed: round + 2 });
    publishedCount++;
    await untilServed(client, kind.model, version);
    if (version > keptCount) await rm(join(store, kind.model, `${version - keptCount}`), { recursive: true });
    return { model: kind.model, version };
  }

  return {
    async work() {
      round++;
      const { model, version } = await publish();
      if (round % 2 === 0) {
        await admin.rollback(model);
        rollbackCount++;
        await untilServed(client, model, version - 1);
        await admin.loadVersion(model, version);
        await untilServed(client, model, version);
        await admin.setLabel(model, `v${version}`, undefined);
      }
      if (round % 3 === 0) await splitTraffic(admin, model, version);
    },
    get publishedCount() {
      return publishedCount;
    },
    get rollbackCount() {
      return rollbackCount;
    },
    close() {
      admin.close();
      client.close();
    },
  };
}

async function splitTraffic(admin: AdminClient, model: string, version: number): Promise<void> {
  await admin.setLabel(model, 'stable', version - 1);
  await admin.setLabel(model, 'canary', version);
  await admin.setTraffic(model, { stable: 90, canary: 10 });
  await admin.setTraffic(model, {});
  await admin.setLabel(model, 'stable', undefined);
  await admin.setLabel(model, 'canary', undefined);
}

/** Waits until this version is the one that answers. */
async function untilServed(client: PolicyClient, model: string, version: number): Promise<void> {
  const limitMs = performance.now() + 60_000;
  for (;;) {
    const { version: served } = await client.getModel({ model });
    if (served === version) return;
    if (performance.now() > limitMs) throw new Error(`${model}: expected version ${version} served, got ${served}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
