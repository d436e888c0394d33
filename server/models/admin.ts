/** AdminService: changes the routing of a model in the store, and answers when the models are served accordingly. */

import { failedPrecondition, notFound, quoted } from '../../src/contract/errors.ts';
import type { AdminService } from '../../src/gen/hyperpolicy/v1/admin_service_pb.ts';
import { listModels } from '../../src/package/package.ts';
import type { UnaryHandlers } from '../call/rpc.ts';
import type { ReadyModel } from './model-store.ts';
import { type Routing, readRouting, writeRouting } from './routing.ts';

/** The models of one process, or what every process of a server has ready. */
export type AdminModels = { ready(): readonly ReadyModel[]; refresh(): Promise<void> };

type Change = {
  /** Named in errors. */
  readonly where: string;
  readonly model: string;
  /** One that must be in the store. */
  readonly version?: number | undefined;
  /** Whether that must be ready afterwards; else all is as before. */
  readonly loads?: boolean;
  readonly edit: (routing: Routing) => Routing;
};

/** @param store directory of published models */
export function createAdminHandlers(store: string, models: AdminModels): UnaryHandlers<typeof AdminService> {
  /** One change at a time, since each begins by reading what the last one wrote. */
  let last: Promise<unknown> = Promise.resolve();
  const readyOf = (name: string) => models.ready().find(({ model }) => model === name)?.versions;
  function inTurn(change: Change) {
    const status = last.then(() => apply(change));
    last = status.catch(() => {});
    return status.then((done) => ({ status: done }));
  }

  async function apply({ where, model, version, loads = false, edit }: Change) {
    const published = await publishedVersions(where, store, model);
    if (version !== undefined && !published.includes(version)) throw unknownVersion(where, published, model, version);
    const before = await readRouting(store, model);
    const edited = edit(before);
    // A version that is gone from the store need not be withheld any more.
    const withheld = edited.withheld.filter((other) => published.includes(other));
    const after = await writeRouting(store, model, { ...edited, withheld }, where);
    await models.refresh();
    const ready = readyOf(model);
    if (!loads || ready === undefined || ready.includes(version!)) return statusOf(model, ready, after);
    await writeRouting(store, model, before);
    await models.refresh();
    throw failedPrecondition({
      where,
      expected: `version ${version} of model "${model}" to load`,
      actual: 'one that is withheld or refused',
      remedy: 'The log has the reason',
    });
  }

  return {
    loadVersion({ model, version }) {
      const edit = ({ labels, withheld, ...routing }: Routing) => ({
        ...routing,
        // The label keeps an old version beside the newest ones.
        labels: { ...labels, [`v${version}`]: version },
        withheld: withheld.filter((other) => other !== version),
      });
      return inTurn({ where: 'LoadVersion', model, version, loads: true, edit });
    },
    unloadVersion({ model, version }) {
      const where = 'UnloadVersion';
      return inTurn({ where, model, version, edit: (routing) => withhold(where, routing, version) });
    },
    setLabel({ model, label, version }) {
      const isSet = version !== 0;
      const edit = (routing: Routing) => {
        const { [label]: _, ...others } = routing.labels;
        return { ...routing, labels: isSet ? { ...others, [label]: version } : others };
      };
      return inTurn({ where: 'SetLabel', model, version: isSet ? version : undefined, loads: isSet, edit });
    },
    setTraffic: ({ model, percentages }) =>
      inTurn({ where: 'SetTraffic', model, edit: (routing) => ({ ...routing, percentages: { ...percentages } }) }),
    rollback({ model }) {
      const where = 'Rollback';
      const edit = (routing: Routing) => {
        const [newest, former] = readyOf(model) ?? [];
        if (newest !== undefined && former !== undefined) return withhold(where, routing, newest);
        const expected = `a version of model "${model}" that is ready, before the newest`;
        throw failedPrecondition({ where, expected, actual: 'none' });
      };
      return inTurn({ where, model, edit });
    },
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

/** @throws HyperpolicyError failed_precondition where a label still points at it */
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

const statusOf = (model: string, ready: readonly number[] = [], routing: Routing) => ({
  model,
  versions: [...ready],
  labels: routing.labels,
  percentages: routing.percentages,
  withheld: [...routing.withheld],
});
