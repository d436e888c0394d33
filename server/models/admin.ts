/** AdminService: changes the routing of a model in the store, and answers when the models are served accordingly. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { failedPrecondition, notFound, quoted } from '../../src/contract/errors.ts';
import type { ModelStatusSchema } from '../../src/gen/hyperpolicy/v1/admin_service_pb.ts';
import { listModels } from '../../src/package/package.ts';
import { type Routing, readRouting, writeRouting } from './routing.ts';

export type ModelStatusInit = MessageInitShape<typeof ModelStatusSchema>;

type ModelVersion = { readonly model: string; readonly version: number };

/** A model and the versions of it that are ready, newest first. */
type ReadyVersions = { readonly model: string; readonly versions: readonly { readonly version: number }[] };

/** The models of one process, or what every process of a server has ready. */
export type AdminModels = { list(): readonly ReadyVersions[]; refresh(): Promise<void> };

export type Admin = {
  loadVersion(request: ModelVersion): Promise<ModelStatusInit>;
  unloadVersion(request: ModelVersion): Promise<ModelStatusInit>;
  setLabel(request: ModelVersion & { readonly label: string }): Promise<ModelStatusInit>;
  setTraffic(request: {
    readonly model: string;
    readonly percentages: Record<string, number>;
  }): Promise<ModelStatusInit>;
  rollback(request: { readonly model: string }): Promise<ModelStatusInit>;
};

/** @param store directory of published models */
export function createAdmin(store: string, models: AdminModels): Admin {
  // One change at a time, since each begins by reading what the last one wrote.
  let last: Promise<unknown> = Promise.resolve();
  function change(
    where: string,
    model: string,
    edit: (routing: Routing, published: readonly number[]) => Routing,
    check: (served: ReadyVersions) => void = () => {},
  ): Promise<ModelStatusInit> {
    const done = last.then(async () => {
      const published = await publishedVersions(where, store, model);
      const before = await readRouting(store, model);
      const edited = edit(before, published);
      // A version that is gone from the store need not be withheld any more.
      const withheld = edited.withheld.filter((version) => published.includes(version));
      const after = await writeRouting(store, model, { ...edited, withheld }, where);
      await models.refresh();
      try {
        const served = models.list().find((other) => other.model === model);
        if (served !== undefined) check(served);
        return statusOf(model, served, after);
      } catch (error) {
        await writeRouting(store, model, before);
        await models.refresh();
        throw error;
      }
    });
    last = done.catch(() => {});
    return done;
  }

  return {
    loadVersion: ({ model, version }) =>
      change(
        'LoadVersion',
        model,
        (routing, published) => {
          refuseUnknown('LoadVersion', published, { model, version });
          // The label keeps an old version beside the newest ones.
          const labels = { ...routing.labels, [`v${version}`]: version };
          return { ...routing, labels, withheld: routing.withheld.filter((other) => other !== version) };
        },
        (served) => refuseUnready('LoadVersion', served, version),
      ),
    unloadVersion: ({ model, version }) =>
      change('UnloadVersion', model, (routing, published) => {
        refuseUnknown('UnloadVersion', published, { model, version });
        return withhold('UnloadVersion', routing, version);
      }),
    setLabel: ({ model, label, version }) =>
      change(
        'SetLabel',
        model,
        (routing, published) => {
          const { [label]: _, ...others } = routing.labels;
          if (version === 0) return { ...routing, labels: others };
          refuseUnknown('SetLabel', published, { model, version });
          return { ...routing, labels: { ...others, [label]: version } };
        },
        (served) => version === 0 || refuseUnready('SetLabel', served, version),
      ),
    setTraffic: ({ model, percentages }) =>
      change('SetTraffic', model, (routing) => ({ ...routing, percentages: { ...percentages } })),
    rollback: ({ model }) =>
      change('Rollback', model, (routing) => {
        const versions = models.list().find((other) => other.model === model)?.versions ?? [];
        const [newest, former] = versions;
        if (newest === undefined || former === undefined) {
          throw failedPrecondition({
            where: 'Rollback',
            expected: `a version of model "${model}" that is ready, before the newest`,
            actual: 'none',
          });
        }
        return withhold('Rollback', routing, newest.version);
      }),
  };
}

async function publishedVersions(where: string, store: string, model: string): Promise<readonly number[]> {
  const found = (await listModels(store)).find((other) => other.model === model);
  if (found !== undefined) return found.versions;
  throw notFound({
    where: `${where} model`,
    expected: 'a model of the store',
    actual: quoted(model),
  });
}

function refuseUnknown(where: string, published: readonly number[], { model, version }: ModelVersion): void {
  if (published.includes(version)) return;
  throw notFound({
    where: `${where} version`,
    expected: `a version of model "${model}" in the store (${published.slice(-10).join(', ')})`,
    actual: `${version}`,
  });
}

function refuseUnready(where: string, { model, versions }: ReadyVersions, version: number): void {
  if (versions.some((other) => other.version === version)) return;
  throw failedPrecondition({
    where,
    expected: `version ${version} of model "${model}" to load`,
    actual: 'one that is withheld or refused',
    remedy: 'The log has the reason',
  });
}

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

const statusOf = (model: string, served: ReadyVersions | undefined, routing: Routing): ModelStatusInit => ({
  model,
  versions: served?.versions.map(({ version }) => version) ?? [],
  labels: routing.labels,
  percentages: routing.percentages,
  withheld: [...routing.withheld],
});
