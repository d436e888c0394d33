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

type Edit = (routing: Routing, published: readonly number[]) => Routing;
type Change = {
  /** Named in errors. */
  readonly where: string;
  readonly model: string;
  readonly edit: Edit;
  readonly loads?: number | undefined;
};
type LabelledVersion = ModelVersion & { readonly label: string };
type Traffic = { readonly model: string; readonly percentages: Record<string, number> };

export class Admin {
  readonly #store: string;
  readonly #models: AdminModels;
  /** One change at a time, since each begins by reading what the last one wrote. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param store directory of published models */
  constructor(store: string, models: AdminModels) {
    this.#store = store;
    this.#models = models;
  }

  loadVersion({ model, version }: ModelVersion): Promise<ModelStatusInit> {
    const where = 'LoadVersion';
    const edit: Edit = (routing, published) => {
      refuseUnknown(where, published, { model, version });
      // The label keeps an old version beside the newest ones.
      const labels = { ...routing.labels, [`v${version}`]: version };
      return { ...routing, labels, withheld: routing.withheld.filter((other) => other !== version) };
    };
    return this.#change({ where, model, edit, loads: version });
  }

  unloadVersion({ model, version }: ModelVersion): Promise<ModelStatusInit> {
    const where = 'UnloadVersion';
    const edit: Edit = (routing, published) => {
      refuseUnknown(where, published, { model, version });
      return withhold(where, routing, version);
    };
    return this.#change({ where, model, edit });
  }

  setLabel({ model, label, version }: LabelledVersion): Promise<ModelStatusInit> {
    const where = 'SetLabel';
    const edit: Edit = (routing, published) => {
      const { [label]: _, ...others } = routing.labels;
      if (version === 0) return { ...routing, labels: others };
      refuseUnknown(where, published, { model, version });
      return { ...routing, labels: { ...others, [label]: version } };
    };
    return this.#change({ where, model, edit, loads: version === 0 ? undefined : version });
  }

  setTraffic({ model, percentages }: Traffic): Promise<ModelStatusInit> {
    return this.#change({
      where: 'SetTraffic',
      model,
      edit: (routing) => ({ ...routing, percentages: { ...percentages } }),
    });
  }

  rollback({ model }: { readonly model: string }): Promise<ModelStatusInit> {
    const where = 'Rollback';
    const edit: Edit = (routing) => {
      const [newest, former] = this.#served(model)?.versions ?? [];
      if (newest !== undefined && former !== undefined) return withhold(where, routing, newest.version);
      const expected = `a version of model "${model}" that is ready, before the newest`;
      throw failedPrecondition({ where, expected, actual: 'none' });
    };
    return this.#change({ where, model, edit });
  }

  #served(name: string): ReadyVersions | undefined {
    return this.#models.list().find(({ model }) => model === name);
  }

  /** @param loads a version that must be ready afterwards; else all is as before */
  #change({ where, model, edit, loads }: Change): Promise<ModelStatusInit> {
    const done = this.#last.then(async () => {
      const published = await publishedVersions(where, this.#store, model);
      const before = await readRouting(this.#store, model);
      const edited = edit(before, published);
      // A version that is gone from the store need not be withheld any more.
      const withheld = edited.withheld.filter((version) => published.includes(version));
      const after = await writeRouting(this.#store, model, { ...edited, withheld }, where);
      await this.#models.refresh();
      const served = this.#served(model);
      if (served === undefined || loads === undefined || served.versions.some(({ version }) => version === loads)) {
        return statusOf(model, served, after);
      }
      await writeRouting(this.#store, model, before);
      await this.#models.refresh();
      throw failedPrecondition({
        where,
        expected: `version ${loads} of model "${model}" to load`,
        actual: 'one that is withheld or refused',
        remedy: 'The log has the reason',
      });
    });
    this.#last = done.catch(() => {});
    return done;
  }
}

async function publishedVersions(where: string, store: string, model: string): Promise<readonly number[]> {
  const found = (await listModels(store)).find((other) => other.model === model);
  if (found !== undefined) return found.versions;
  throw notFound({ where: `${where} model`, expected: 'a model of the store', actual: quoted(model) });
}

function refuseUnknown(where: string, published: readonly number[], { model, version }: ModelVersion): void {
  if (published.includes(version)) return;
  throw notFound({
    where: `${where} version`,
    expected: `a version of model "${model}" in the store (${published.slice(-10).join(', ')})`,
    actual: `${version}`,
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
