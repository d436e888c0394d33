/** One loaded version of a model, verified by its probes. Owns its networks until it is retired and idle. */

import { clipToBounds, float32Bounds } from '../../src/contract/bounds.ts';
import { specSizes } from '../../src/contract/tensor-spec.ts';
import type { Precision } from '../../src/onnx/precision.ts';
import type { Device } from '../../src/onnx/providers.ts';
import { openSession, type SessionOptions } from '../../src/onnx/session.ts';
import { isBounded } from '../../src/onnx/small-network.ts';
import { createStepper } from '../../src/pacing/unhurried.ts';
import { readListedFile } from '../../src/package/listed-file.ts';
import { graphsOf, type Manifest } from '../../src/package/manifest.ts';
import type { PackageIndex } from '../../src/package/package.ts';
import type { ComputePool, OpenGraphOptions } from '../compute/compute-pool.ts';
import type { VersionLabels } from '../telemetry/version-labels.ts';
import type { ContextCache } from '../weights/context-cache.ts';
import type { NewRows } from './fused-network.ts';
import { chooseNewRows } from './new-rows.ts';
import { type ProbedNetworks, replayProbes, warmUpNetworks } from './probes.ts';
import { openAdaptation } from './served-adaptation.ts';
import { openCritic, openPolicy } from './served-network.ts';

export type ServedVersion = ProbedNetworks & {
  readonly manifest: Manifest;
  readonly publishedAtMs: number;
  /** Bounds of each action value, as `float32Bounds` has them. */
  readonly actionLow: Float32Array;
  readonly actionHigh: Float32Array;
  /** The action of the `safe` fallback. */
  readonly safeAction: Float32Array;
  /** Keeps the networks while a stream is open; every hold is released once. */
  hold(): void;
  release(): void;
  /**
   * The same for one request; it also keeps the memory of weights that the request has looked up in this turn of the event loop.
   * @returns ends the lease; call it once, when the request is answered
   */
  lease(): () => void;
  /** Frees the networks as soon as no request holds them. */
  retire(): void;
};

export type OpenVersionOptions = {
  readonly pool: Pick<ComputePool, 'open'>;
  readonly inline: SessionOptions;
  /** Of its heavy graphs. */
  readonly device: Device;
  readonly precision: Precision;
  readonly contextCache: ContextCache;
  readonly criticCache: ContextCache;
  readonly newRows: NewRows;
  /** For metrics. */
  readonly labels: VersionLabels;
  /** Distinguishes this version in the caches from every other that this process loads. */
  readonly keyPrefix: string;
  /** Milliseconds of rest for each millisecond of loading, for requests. */
  readonly restRatio: number;
  /** Told if a run does not end in time: the version is of no more use. */
  readonly onLost?: OpenGraphOptions['onLost'];
  /** Told while one of its runs takes long, first ones too. */
  readonly onSlow?: OpenGraphOptions['onSlow'];
};

/**
 * Verifies the files of a package, opens its graphs, checks them against the contract, warms them up and replays the package's probes.
 * @throws HyperpolicyError: a file that differs; a graph that does not load or run, or breaks the contract; a probe whose outputs differ
 */
export async function openVersion(index: PackageIndex, options: OpenVersionOptions): Promise<ServedVersion> {
  const { manifest } = index;
  const { contextCache, criticCache, keyPrefix, device, precision, newRows, labels } = options;
  const closeLabels = labels.open(manifest);
  const networks = await openNetworks(index, options).catch((error: unknown) => {
    closeLabels();
    throw error;
  });
  const served: ServedVersion = {
    manifest,
    model: manifest.model,
    version: manifest.version,
    device,
    precision: device === 'cuda' ? precision : 'float32',
    publishedAtMs: Date.parse(manifest.training.publishedAt),
    ...specSizes(manifest),
    ...networks,
    ...actionBounds(manifest),
    ...createHolds(criticCache, () => {
      for (const network of Object.values(networks)) network?.dispose();
      contextCache.kept.dropVersion(keyPrefix);
      criticCache.kept.dropVersion(keyPrefix);
      closeLabels();
    }),
  };
  try {
    await warmUpNetworks(served);
    await replayProbes(served, manifest.probes);
    await chooseNewRows(served, newRows);
  } catch (error) {
    served.retire();
    throw error;
  }
  return served;
}

type Networks = Pick<ServedVersion, 'policy' | 'critic' | 'adaptation'>;

/** Bytes of a graph's file up to which it is opened on the event loop: that takes some milliseconds. */
const inlineBytesMax = 4 * 1024 * 1024;

/** Opens the graphs one after the other and reads every other file, as each is verified while it is read. */
async function openNetworks({ manifest, files }: PackageIndex, options: OpenVersionOptions): Promise<Networks> {
  const { pool, inline, device, contextCache, criticCache, keyPrefix, newRows, restRatio, labels } = options;
  const { onLost, onSlow } = options;
  const step = createStepper(restRatio);
  const opened: { dispose(): unknown }[] = [];
  const tracked = <T extends { dispose(): unknown }>(session: T): T => {
    opened.push(session);
    return session;
  };
  const shared = {
    manifest,
    files,
    keyPrefix,
    newRows,
    device,
    pool: {
      open: async (...[file, graph]: Parameters<ComputePool['open']>) =>
        tracked(await pool.open(file, { ...graph, labels: labels.of(manifest), restRatio, device, onLost, onSlow })),
    },
    async openInline(file: string, weightNames: readonly string[] = []) {
      const listed = files.get(file)!;
      if (listed.bytes > inlineBytesMax) return undefined;
      const model = await readListedFile(listed, step);
      if (!(await step(() => isBounded(model, weightNames)))) return undefined;
      return { model, session: await step(() => tracked(openSession(model, inline, file))) };
    },
  };
  try {
    const policy = await openPolicy({ ...shared, cache: contextCache });
    const critic = await openCritic({ ...shared, cache: criticCache });
    const adaptation = await openAdaptation({ ...shared, cache: contextCache }, policy);
    const graphFiles = new Set(graphsOf(manifest).map(({ file }) => file));
    for (const [name, file] of files) if (!graphFiles.has(name)) await readListedFile(file, step);
    return { policy, critic, adaptation };
  } catch (error) {
    // Graphs that were opened before the refused one hold native memory.
    for (const session of opened) session.dispose();
    throw error;
  }
}

function actionBounds({ action }: Manifest): Pick<ServedVersion, 'actionLow' | 'actionHigh' | 'safeAction'> {
  const bounds = float32Bounds(action);
  const safeAction = bounds.low.map((_, i) => action.safe?.[i] ?? 0);
  clipToBounds(safeAction, bounds);
  return { actionLow: bounds.low, actionHigh: bounds.high, safeAction };
}

/** @param free called once, when the version is retired and nobody holds it */
function createHolds(
  { kept }: ContextCache,
  free: () => void,
): Pick<ServedVersion, 'hold' | 'release' | 'lease' | 'retire'> {
  let holdCount = 0;
  let isRetired = false;
  const freeIfIdle = () => {
    if (isRetired && holdCount === 0) free();
  };
  const hold = () => {
    holdCount++;
  };
  const release = () => {
    holdCount--;
    freeIfIdle();
  };
  return {
    hold,
    release,
    lease() {
      const leaveArena = kept.arena?.enter();
      hold();
      return () => {
        leaveArena?.();
        release();
      };
    },
    retire() {
      if (isRetired) return;
      isRetired = true;
      freeIfIdle();
    },
  };
}

/** Runs `answer` under a lease, which keeps the version's networks and the weights that were looked up in this turn. */
export async function whenHeld<T>(served: Pick<ServedVersion, 'lease'>, answer: () => Promise<T>): Promise<T> {
  const end = served.lease();
  try {
    return await answer();
  } finally {
    end();
  }
}
