/** AdminService: changes the routing of a model in the store, and answers when the change has taken effect. */

import type { Logger } from 'pino';
import { failedPrecondition, notFound, quoted } from '../../src/contract/errors.ts';
import type { AdminService } from '../../src/gen/hyperpolicy/v1/admin_service_pb.ts';
import { NamedTurns } from '../../src/pacing/turns.ts';
import { listModels } from '../../src/package/package.ts';
import { type Routing, readRouting, writeRouting } from '../../src/package/routing.ts';
import { callerName } from '../call/caller.ts';
import type { Call, UnaryHandlers } from '../call/rpc.ts';
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
  /** What else was asked, for the log. */
  readonly asked?: Readonly<Record<string, string | boolean>>;
  readonly edit: (routing: Routing) => Routing;
};

/** Changes of routing files. Those of a model run one at a time: each begins by reading what the last one wrote. */
class RoutingChanges {
  readonly #store: string;
  readonly #models: AdminModels;
  readonly #log: Logger;
  readonly #turns = new NamedTurns();

  constructor(store: string, models: AdminModels, log: Logger) {
    this.#store = store;
    this.#models = models;
    this.#log = log;
  }

  /** Tells the log what was asked, by whom, and how it ended. */
  async make(change: Change, { caller }: Pick<Call, 'caller'>) {
    const { where: action, model, version, asked } = change;
    const token = callerName(caller);
    const line = { action, model: clipped(model), version, ...asked, ...(token !== '' && { token }) };
    try {
      const status = await this.#turns.take(model, () => this.#apply(change));
      const { versions, withheld } = status;
      this.#log.info({ ...line, versions, withheld }, 'admin action');
      return { status };
    } catch (error) {
      this.#log.warn({ ...line, reason: (error as Error).message }, 'admin action refused');
      throw error;
    }
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
    await this.#models.refresh(loads ? { model, version: version! } : { model });
    const ready = this.readyOf(model);
    if (!loads || ready.includes(version!)) return statusOf(model, ready, after);
    await writeRouting(store, model, before);
    await this.#models.refresh({ model });
    throw failedPrecondition({
      where,
      expected: `version ${version} of model "${model}" to load`,
      actual: 'one that is withheld or refused',
      remedy: 'The log has the reason',
    });
  }
}

/** @param store directory of published models */
export function createAdminHandlers(
  store: string,
  models: AdminModels,
  log: Logger,
): UnaryHandlers<typeof AdminService> {
  const changes = new RoutingChanges(store, models, log);
  return {
    loadVersion({ model, version }, call) {
      const edit = ({ labels, withheld, ...routing }: Routing) => ({
        ...routing,
        // The label keeps an old version beside the newest ones.
        labels: { ...labels, [`v${version}`]: version },
        withheld: withheld.filter((other) => other !== version),
      });
      return changes.make({ where: 'LoadVersion', model, version, loads: true, edit }, call);
    },
    unloadVersion({ model, version }, call) {
      const where = 'UnloadVersion';
      return changes.make({ where, model, version, edit: (routing) => withhold(where, routing, version) }, call);
    },
    setLabel({ model, label, version }, call) {
      const isSet = version !== 0;
      const edit = (routing: Routing) => {
        const { [label]: _, ...others } = routing.labels;
        return { ...routing, labels: isSet ? { ...others, [label]: version } : others };
      };
      const asked = { label: clipped(label), ...(!isSet && { removed: true }) };
      const ofVersion = { version: isSet ? version : undefined, loads: isSet };
      return changes.make({ where: 'SetLabel', model, ...ofVersion, asked, edit }, call);
    },
    setTraffic({ model, percentages }, call) {
      const edit = (routing: Routing) => ({ ...routing, percentages: { ...percentages } });
      const shares = Object.entries(percentages).map(([label, share]) => `${label}=${share}`);
      const asked = { shares: clipped(shares.join(',')) };
      return changes.make({ where: 'SetTraffic', model, asked, edit }, call);
    },
    rollback({ model }, call) {
      const where = 'Rollback';
      const edit = (routing: Routing) => {
        const [newest, former] = changes.readyOf(model);
        if (newest !== undefined && former !== undefined) return withhold(where, routing, newest);
        const expected = `a version of model "${model}" that is ready, before the newest`;
        throw failedPrecondition({ where, expected, actual: 'none' });
      };
      return changes.make({ where, model, edit }, call);
    },
  };
}

/** The first of what somebody sent, so that a line of the log has a bounded length. */
const clipped = (text: string): string => text.slice(0, 1000);

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
