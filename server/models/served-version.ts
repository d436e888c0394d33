/** One version of a model, loaded and proven by its probes. Owns its networks until it is retired and idle. */

import { failedPrecondition } from '../../src/contract/errors.ts';
import { openSession, type SessionOptions } from '../../src/onnx/session.ts';
import { createStepper } from '../../src/pacing/unhurried.ts';
import { readListedFile } from '../../src/package/listed-file.ts';
import { graphsOf, type Manifest, type Probe, type ProbeTensor } from '../../src/package/manifest.ts';
import type { PackageIndex } from '../../src/package/package.ts';
import { distinctRows } from '../call/tensors.ts';
import type { ComputePool } from '../compute/compute-pool.ts';
import type { ContextCache } from '../weights/context-cache.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { sizesOf } from './graph-contract.ts';
import { openAdaptation, runAdaptationProbe, type ServedAdaptation } from './served-adaptation.ts';
import { openCritic, type ServedCritic } from './served-critic.ts';
import { openPolicy, type ServedPolicy } from './served-policy.ts';
import { warmUpNetworks } from './warm-up.ts';

export type ServedVersion = {
  readonly manifest: Manifest;
  readonly model: string;
  readonly version: number;
  readonly publishedAtMs: number;
  readonly observationSize: number;
  readonly actionSize: number;
  /** 0 where the model takes no context. */
  readonly contextSize: number;
  readonly policy: ServedPolicy | null;
  readonly critic: ServedCritic | null;
  readonly adaptation: ServedAdaptation | null;
  /** Bounds of each action value; infinite where there are none. */
  readonly actionLow: Float32Array;
  readonly actionHigh: Float32Array;
  /** The action of the `safe` fallback. */
  readonly safeAction: Float32Array;
  /** Keeps the networks while a stream is open; every hold is released once. */
  hold(): void;
  release(): void;
  /**
   * The same for one request, with the memory of the weights that it found in this turn of the event loop.
   * @returns to be called once, when the request has its answer
   */
  lease(): () => void;
  /** Frees the networks as soon as no request holds them. */
  retire(): void;
};

export type OpenVersionOptions = {
  readonly pool: ComputePool;
  readonly inline: SessionOptions;
  readonly contextCache: ContextCache;
  readonly criticCache: ContextCache;
  /** Distinguishes this version in the caches from every other that this process loads. */
  readonly keyPrefix: string;
  /** Milliseconds of rest for each millisecond of loading: requests go before. */
  readonly restRatio: number;
};

/**
 * Verifies the files of a package, opens its graphs, checks them against the contract, runs them until they are warm and replays the
 * package's probes.
 * @throws HyperpolicyError: a file that differs; a graph that does not load, run or keep the contract; a probe whose outputs differ
 */
export async function openVersion(
  { manifest, files }: PackageIndex,
  options: OpenVersionOptions,
): Promise<ServedVersion> {
  const { pool, inline, contextCache, criticCache, keyPrefix, restRatio } = options;
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
    pool: {
      ...pool,
      open: async (...[file, options]: Parameters<ComputePool['open']>) =>
        tracked(await pool.open(file, { ...options, restRatio })),
    },
    async openInline(file: string) {
      const model = await readListedFile(files.get(file)!, step);
      return { model, session: await step(() => tracked(openSession(model, inline, file))) };
    },
  };
  let policy: ServedPolicy | null;
  let critic: ServedCritic | null;
  let adaptation: ServedAdaptation | null;
  try {
    policy = await openPolicy({ ...shared, cache: contextCache });
    critic = await openCritic({ ...shared, cache: criticCache });
    adaptation = await openAdaptation({ ...shared, cache: contextCache }, policy);
    const graphFiles = new Set(graphsOf(manifest).map(({ file }) => file));
    for (const [name, file] of files) if (!graphFiles.has(name)) await readListedFile(file, step);
  } catch (error) {
    // A graph of the package is refused: those that were opened before it hold native memory.
    for (const session of opened) session.dispose();
    throw error;
  }
  let holdCount = 0;
  let retired = false;
  const disposeIfIdle = () => {
    if (!retired || holdCount > 0) return;
    policy?.dispose();
    critic?.dispose();
    adaptation?.dispose();
    contextCache.kept.dropVersion(keyPrefix);
    criticCache.kept.dropVersion(keyPrefix);
  };
  const hold = () => {
    holdCount++;
  };
  const release = () => {
    holdCount--;
    disposeIfIdle();
  };
  const { low, high, safe } = manifest.action;
  const actionLow = Float32Array.from(low, (value) => value ?? Number.NEGATIVE_INFINITY);
  const actionHigh = Float32Array.from(high, (value) => value ?? Number.POSITIVE_INFINITY);
  const served: ServedVersion = {
    manifest,
    model: manifest.model,
    version: manifest.version,
    publishedAtMs: Date.parse(manifest.training.publishedAt),
    ...sizesOf(manifest),
    policy,
    critic,
    adaptation,
    actionLow,
    actionHigh,
    safeAction: actionLow.map((bound, i) => Math.min(Math.max(safe?.[i] ?? 0, bound), actionHigh[i]!)),
    hold,
    release,
    lease() {
      const leaveArena = criticCache.kept.arena?.enter();
      hold();
      return () => {
        leaveArena?.();
        release();
      };
    },
    retire: () => {
      retired = true;
      disposeIfIdle();
    },
  };
  try {
    await warmUpNetworks(served);
    for (const probe of manifest.probes) await replayProbe(served, probe);
  } catch (error) {
    served.retire();
    throw error;
  }
  return served;
}

/** Keeps the version's networks, and the weights that were found in this turn, while `answer` is under way. */
export async function whenHeld<T>(served: Pick<ServedVersion, 'lease'>, answer: () => Promise<T>): Promise<T> {
  const end = served.lease();
  try {
    return await answer();
  } finally {
    end();
  }
}

/** Runs a probe's inputs through the loaded networks. Probes of graphs that are not served are left out. */
async function replayProbe(served: ServedVersion, probe: Probe): Promise<void> {
  const input = (name: string): Float32Array | undefined => {
    const tensor = probe.inputs[name];
    return tensor && Float32Array.from(tensor.values);
  };
  const where = `${served.model} version ${served.version}, ${probe.target} probe`;
  const rowCount = Object.values(probe.inputs)[0]?.shape[0] ?? 0;
  const observation = input('observation') ?? new Float32Array(0);
  const generated = async (source: WeightSource, values: Float32Array = new Float32Array(0), size: number) => {
    const contexts = distinctRows({ values, rowCount }, size);
    return { weights: await source.generate(contexts), index: contexts.index };
  };
  const compare = (name: string, actual: Float32Array | undefined) => {
    const expected = probe.outputs[name];
    if (expected !== undefined) compareOutput(`${where} output "${name}"`, expected, actual, probe.tolerance);
  };

  if ((probe.target === 'encoder' || probe.target === 'adapt') && served.adaptation !== null) {
    const outputs = await runAdaptationProbe(served.adaptation, probe);
    for (const [name, values] of Object.entries(outputs)) compare(name, values);
    return;
  }
  if (probe.target === 'policy' && served.policy !== null) {
    const context = input('context');
    const { weights } = served.policy;
    const { action, logProb } = await served.policy.run({
      rowCount,
      observation,
      noise: input('noise'),
      ...(weights === undefined ? { context } : await generated(weights, context, served.contextSize)),
    });
    compare('action', action);
    compare('log_prob', logProb);
  }
  if (probe.target === 'critic' && served.critic !== null) {
    const { weights } = served.critic;
    const { q, dqDa } = await served.critic.run({
      rowCount,
      action: input('action') ?? new Float32Array(0),
      context: input('context'),
      deadlineMs: Number.POSITIVE_INFINITY,
      ...(weights === undefined ? { observation } : await generated(weights, observation, served.observationSize)),
    });
    compare('q', q);
    compare('dq_da', dqDa);
  }
}

function compareOutput(
  where: string,
  expected: ProbeTensor,
  actual: Float32Array | undefined,
  tolerance: number,
): void {
  const refuse = (wanted: string, got: string) =>
    failedPrecondition({ where, expected: wanted, actual: got, remedy: 'The version is not served' });
  if (actual?.length !== expected.values.length) {
    throw refuse(`${expected.values.length} values`, `${actual?.length ?? 'none'}`);
  }
  expected.values.forEach((value, i) => {
    const difference = Math.abs(actual[i]! - value) / (1 + Math.abs(value));
    // Written so that NaN is refused too.
    if (!(difference <= tolerance)) throw refuse(`${value} at ${i} within ${tolerance}`, `${actual[i]}`);
  });
}
