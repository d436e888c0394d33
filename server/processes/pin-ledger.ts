/**
 * The contexts and observations that clients have pinned with Prepare, as the parent of several processes remembers them. A process that
 * replaces another pins the same before it accepts connections. The ledger has rows only; their weights are generated again.
 *
 * Why it stays: without it, one process lacks the pins, and no client is told. Measured after a kill: there each of 64 pinned contexts
 * was generated again, and its first call took 20 ms in place of 6 to 8 (test/bench/NOTES.md).
 */

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { resourceExhausted } from '../../src/contract/errors.ts';
import { grouped } from '../../src/contract/grouped.ts';
import { LruMap } from '../../src/contract/lru-map.ts';
import { Pinning, type PrepareRequest, PrepareRequestSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { decodeRows, distinctRows, encodeTensor } from '../call/tensors.ts';
import type { ServerConfig } from '../config.ts';
import type { ReadyModel } from '../models/model-store.ts';

type Target = 'context' | 'observation';

/** A pinned row of one version. */
type Pin = {
  readonly model: string;
  readonly version: number;
  readonly values: Float32Array;
  /** Memory of the ledger for it: values, key and overhead. */
  readonly bytes: number;
};

type Pins = Map<string, Pin>;

/** Memory of a row beside its values and its key. */
const rowOverheadBytes = 256;

const bytesOf = ({ bytes }: Pin): number => bytes;

const targets: readonly Target[] = ['context', 'observation'];

/** Bound: half of the bytes of each cache, as in a process. An entry of a cache is larger, since it has the weights too. */
export class PinLedger {
  readonly #pinned: Record<Target, LruMap<Pin>> = { context: new LruMap(bytesOf), observation: new LruMap(bytesOf) };
  readonly #bytesMax: Record<Target, number>;
  /** Orders to pin that are not yet carried out. */
  readonly #pending: Record<Target, Set<Pins>> = { context: new Set(), observation: new Set() };

  constructor(config: Pick<ServerConfig, 'contextCacheBytesMax' | 'criticCacheBytesMax'>) {
    this.#bytesMax = { context: config.contextCacheBytesMax / 2, observation: config.criticCacheBytesMax / 2 };
  }

  get bytes(): number {
    return this.#pinned.context.bytes + this.#pinned.observation.bytes;
  }

  /**
   * Carries out an order and remembers it: unpinning at once, pinning if `work` succeeds. Meanwhile `orders` includes it.
   * @param order a PrepareRequest that names its version and that a process has checked
   * @throws HyperpolicyError resource_exhausted: over the bound, and nothing is done; whatever `work` throws
   */
  async during<T>(order: Uint8Array, work: () => Promise<T>): Promise<T> {
    const request = fromBinary(PrepareRequestSchema, order);
    const { pinning, target } = request;
    if (pinning === Pinning.UNSPECIFIED || target.case === undefined) return work();
    const pins = pinsOf(request);
    const pinned = this.#pinned[target.case];
    const pending = this.#pending[target.case];
    if (pinning === Pinning.UNPIN) {
      // Pending pins came earlier, so they are removed as well.
      for (const key of pins.keys()) for (const from of [pinned, ...pending]) from.delete(key);
      return work();
    }
    this.#refuseTooMany(target.case, pins);
    pending.add(pins);
    try {
      const result = await work();
      for (const [key, pin] of pins) if (pinned.peek(key) === undefined) pinned.set(key, pin);
      return result;
    } finally {
      pending.delete(pins);
    }
  }

  /** Everything that is pinned now, as PrepareRequests of at most `rowCountMax` rows. */
  orders(rowCountMax: number): readonly Uint8Array[] {
    return targets.flatMap((target) => {
      const pending = [...this.#pending[target]].flatMap((pins) => [...pins]);
      const pins = [...this.#pinned[target], ...pending].map(([, pin]) => pin);
      const byVersion = grouped(pins, ({ model, version }) => `${model}/${version}`);
      return [...byVersion.values()].flatMap((same) => ordersOf(target, same, rowCountMax));
    });
  }

  /** Removes the pins of all other versions. */
  keepOnly(models: readonly ReadyModel[]): void {
    for (const target of targets) {
      for (const [key, { model, version }] of this.#pinned[target]) {
        const isServed = models.some((other) => other.model === model && other.versions.includes(version));
        if (!isServed) this.#pinned[target].delete(key);
      }
    }
  }

  #refuseTooMany(target: Target, pins: Pins): void {
    const bytesMax = this.#bytesMax[target];
    let wanted = this.#pinned[target].bytes;
    for (const [key, { bytes }] of pins) if (this.#pinned[target].peek(key) === undefined) wanted += bytes;
    if (wanted <= bytesMax) return;
    throw resourceExhausted({
      where: `pinned ${target}s`,
      expected: `at most ${Math.floor(bytesMax)} bytes of rows over all versions, half of the cache of weights`,
      actual: `${wanted}`,
      remedy: 'Unpin others, or make the cache larger',
    });
  }
}

/** The distinct rows of a request. */
function pinsOf({ model, selection, target }: PrepareRequest): Pins {
  const version = selection.value as number;
  const columnCount = target.value!.shape.at(-1) ?? 0;
  const rule = { where: `Prepare ${target.case}`, columnCount, rowCountMax: Number.POSITIVE_INFINITY, model };
  const { keys, values } = distinctRows(decodeRows(target.value, rule), columnCount);
  return new Map(
    keys.map((key, i) => {
      const row = values.slice(i * columnCount, (i + 1) * columnCount);
      const bytes = key.length + row.byteLength + rowOverheadBytes;
      return [`${model}/${version}/${key}`, { model, version, values: row, bytes }];
    }),
  );
}

/** Orders to pin rows of one version. */
function ordersOf(target: Target, pins: readonly Pin[], rowCountMax: number): Uint8Array[] {
  const { model, version, values } = pins[0]!;
  const orders: Uint8Array[] = [];
  for (let from = 0; from < pins.length; from += rowCountMax) {
    const rows = pins.slice(from, from + rowCountMax);
    const joined = Float32Array.from(rows.flatMap((row) => [...row.values]));
    const request = create(PrepareRequestSchema, {
      model,
      selection: { case: 'version', value: version },
      target: { case: target, value: encodeTensor(joined, [rows.length, values.length]) },
      pinning: Pinning.PIN,
    });
    orders.push(toBinary(PrepareRequestSchema, request));
  }
  return orders;
}
