/** AdminService: changes the routing of a model in the store, and answers when the change has taken effect. */

import { failedPrecondition, notFound, quoted } from '../../src/contract/errors.ts';
import type { AdminService } from '../../src/gen/hyperpolicy/v1/admin_service_pb.ts';
import { listModels } from '../../src/package/package.ts';
import { type Routing, readRouting, writeRouting } from '../../src/package/routing.ts';
import type { UnaryHandlers } from '../call/rpc.ts';
import type { ModelStore } from './model-store.ts';

/** The models of one process, or those that are ready in every process of a server. */
export type AdminModels = Pick<ModelStore, 'ready' | 'refresh'>;

type Change = {
  /** Named in errors. */
  readonly where: string;
  readonly model: string;
  /** Must be in the store. */
  readonly version?: number | undefined;
  /** The version must be ready after the change; else the change is taken back. */
  readonly loads?: boolean;
  readonly edit: (routing: Routing) => Routing;
};

/** Changes of routing files, one at a time: each begins by reading what the last one wrote. */
class RoutingChanges {
  readonly #store: string;
  readonly #models: AdminModels;
  #last: Promise<unknown> = Promise.resolve();

  constructor(store: string, models: AdminModels) {
    this.#store = store;
    this.#models = models;
  }

  async make(change: Change) {
    const status = this.#last.then(() => this.#apply(change));
    this.#last = status.catch(() => {});
    return { status: await status };
  }

  /** Ready versions of a model, newest first. */
  readyOf(name: string): readonly number[] {
    return this.#models.ready().find(({ model }) => model === name)?.versions ?? [];
  }

  async #apply({ where, model, version, loads = false, edit }: Change) {
    const store = this.#store;
    const published = await publishedVersions(where, store, model);
    if (version !== undefined && !published.includes(version)) throw unknownVersion(where, published, model, version);
    const before = await readRouting(store, model);
    const edited = edit(before);
    const after = await writeRouting(store, model, withoutGone(edited, published), where);
    await this.#models.refresh(loads ? { model, version: version! } : null);
    const ready = this.readyOf(model);
    if (!loads || ready.includes(version!)) return statusOf(model, ready, after);
    await writeRouting(store, model, before);
    await this.#models.refresh();
    throw failedPrecondition({
      where,
      expected: `version ${version} of model "${model}" to load`,
      actual: 'one that is withheld or refused',
      remedy: 'The log has the reason',
    });
  }
}

/** @param store directory of published models */
export function createAdminHandlers(store: string, models: AdminModels): UnaryHandlers<typeof AdminService> {
  const changes = new RoutingChanges(store, models);
  return {
    loadVersion({ model, version }) {
      const edit = ({ labels, withheld, ...routing }: Routing) => ({
        ...routing,
        // The label keeps an old version beside the newest ones.
        labels: { ...labels, [`v${version}`]: version },
        withheld: withheld.filter((other) => other !== version),
      });
      return changes.make({ where: 'LoadVersion', model, version, loads: true, edit });
    },
    unloadVersion({ model, version }) {
      const where = 'UnloadVersion';
      return changes.make({ where, model, version, edit: (routing) => withhold(where, routing, version) });
    },
    setLabel({ model, label, version }) {
      const isSet = version !== 0;
      const edit = (routing: Routing) => {
        const { [label]: _, ...others } = routing.labels;
        return { ...routing, labels: isSet ? { ...others, [label]: version } : others };
      };
      return changes.make({ where: 'SetLabel', model, version: isSet ? version : undefined, loads: isSet, edit });
    },
    setTraffic: ({ model, percentages }) =>
      changes.make({
        where: 'SetTraffic',
        model,
        edit: (routing) => ({ ...routing, percentages: { ...percentages } }),
      }),
    rollback({ model }) {
      const where = 'Rollback';
      const edit = (routing: Routing) => {
        const [newest, former] = changes.readyOf(model);
        if (newest !== undefined && former !== undefined) return withhold(where, routing, newest);
        const expected = `a version of model "${model}" that is ready, before the newest`;
        throw failedPrecondition({ where, expected, actual: 'none' });
      };
      return changes.make({ where, model, edit });
    },
  };
}

/** Versions that are gone from the store are withheld no more, and the labels that LoadVersion gave them go, unless they have a share. */
function withoutGone({ labels, percentages, withheld }: Routing, published: readonly number[]): Routing {
  const kept = Object.entries(labels).filter(
    ([label, version]) => label !== `v${version}` || published.includes(version) || Object.hasOwn(percentages, label),
  );
  return {
    labels: Object.fromEntries(kept),
    percentages,
    withheld: withheld.filter((version) => published.includes(version)),
  };
}

async function publishedVersions(where: string, store: string, model: string): Promise<readonly number[]> {
  const found = (await listModels(store)).find((other) => other.model === model);
  if (found !== undefined) return found.versions;
  throw notFound({ where: `${where} model`, expected: 'a model of the store', actual: quoted(model) });
}

const unknownVersion = (where: string, published: readonly number[], model: string, version: number) =>
  notFound({
    where: `${where} version`,
    expected: `a version of model "${model}" in the store (${published.slice(-10).join(', ')})`,
    actual: `${version}`,
  });

/** @throws HyperpolicyError failed_precondition if a label still points at it */
function withhold(where: string, routing: Routing, version: number): Routing {
  const own = `v${version}`;
  const { [own]: _, ...labels } = routing.labels;
  const label = Object.keys(labels).find((name) => labels[name] === version);
  if (label !== undefined) {
    throw failedPrecondition({
      where,
      expected: `version ${version} without labels`,
      actual: `label "${label}"`,
      remedy: 'Point the label at another version first',
    });
  }
  return { ...routing, labels, withheld: [...new Set([...routing.withheld, version])].sort((a, b) => a - b) };
}

const statusOf = (model: string, ready: readonly number[], routing: Routing) => ({
  model,
  versions: [...ready],
  labels: routing.labels,
  percentages: routing.percentages,
  withheld: [...routing.withheld],
});
