/**
 * The contexts and observations that clients have pinned with Prepare, as the parent of several processes remembers them. A process that
 * takes the place of another pins the same before it takes connections. Rows only; their weights are made anew.
 *
 * Why it stays: without it, what a client has pinned is pinned in all processes but one, and nobody tells the client. There, each
 * first call of a context waits for the primary, 2.5 ms in place of 0.004 ms (README, "Measured"), and again whenever the entry is evicted.
 */

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { resourceExhausted } from '../../src/contract/errors.ts';
import { Pinning, type PrepareRequest, PrepareRequestSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { decodeRows, distinctRows, encodeTensor } from '../call/tensors.ts';
import type { ServerConfig } from '../config.ts';
import type { ReadyModel } from './messages.ts';

export type PinLedger = {
  /**
   * Has an order carried out and remembers it: an unpinning at once, a pinning where it succeeds; `orders` has it meanwhile.
   * @param order a PrepareRequest that names its version and that a process has checked
   * @throws HyperpolicyError resource_exhausted: more than is remembered, and nothing is done; whatever `work` throws
   */
  during<T>(order: Uint8Array, work: () => Promise<T>): Promise<T>;
  /** Everything that is pinned now, as PrepareRequests of at most so many rows. */
  orders(rowCountMax: number): readonly Uint8Array[];
  /** Forgets the versions that are not among these. */
  keepOnly(models: readonly ReadyModel[]): void;
  /** Of the rows that are remembered, their keys and their places in the map. */
  readonly bytes: number;
};

type TargetCase = 'context' | 'observation';
/** What is pinned for one version and one kind of rows. */
type Page = {
  readonly model: string;
  readonly version: number;
  readonly targetCase: TargetCase;
  readonly rows: Map<string, Float32Array>;
};

/** Of a row, beside its values and its key. */
const rowOverheadBytes = 256;

/**
 * At most as many bytes of contexts as the cache of a process may pin, and likewise of observations: an entry of the cache is the
 * larger one, as it has the weights too.
 */
export function createPinLedger({
  contextCacheBytesMax,
  criticCacheBytesMax,
}: Pick<ServerConfig, 'contextCacheBytesMax' | 'criticCacheBytesMax'>): PinLedger {
  const pages = new Map<string, Page>();
  const pending = new Set<Page>();
  const bytes: Record<TargetCase, number> = { context: 0, observation: 0 };
  const bytesMax: Record<TargetCase, number> = {
    context: contextCacheBytesMax / 2,
    observation: criticCacheBytesMax / 2,
  };

  function refuseTooMany(page: Page): void {
    const { targetCase, rows } = page;
    const own = pages.get(keyOf(page))?.rows;
    let wanted = bytes[targetCase];
    for (const [row, values] of rows) if (own?.has(row) !== true) wanted += bytesOfRow(row, values);
    if (wanted <= bytesMax[targetCase]) return;
    throw resourceExhausted({
      where: `pinned ${targetCase}s`,
      expected: `at most ${Math.floor(bytesMax[targetCase])} bytes of rows over all versions, half of the cache of weights`,
      actual: `${wanted}`,
      remedy: 'Unpin others, or make the cache larger',
    });
  }

  function remember(page: Page): void {
    const key = keyOf(page);
    const own = pages.get(key) ?? { ...page, rows: new Map() };
    pages.set(key, own);
    for (const [row, values] of page.rows) {
      if (own.rows.has(row)) continue;
      own.rows.set(row, values);
      bytes[page.targetCase] += bytesOfRow(row, values);
    }
  }

  function forget(page: Page): void {
    const own = pages.get(keyOf(page));
    if (own === undefined) return;
    for (const row of page.rows.keys()) {
      const values = own.rows.get(row);
      if (values === undefined) continue;
      own.rows.delete(row);
      bytes[page.targetCase] -= bytesOfRow(row, values);
    }
    if (own.rows.size === 0) pages.delete(keyOf(page));
  }

  /** What is being pinned goes as well: it came before. */
  function unpin(page: Page): void {
    forget(page);
    for (const other of pending) {
      if (keyOf(other) === keyOf(page)) for (const row of page.rows.keys()) other.rows.delete(row);
    }
  }

  return {
    async during(order, work) {
      const request = fromBinary(PrepareRequestSchema, order);
      const page = pageOf(request);
      if (page === undefined) return work();
      if (request.pinning === Pinning.UNPIN) {
        unpin(page);
        return work();
      }
      refuseTooMany(page);
      pending.add(page);
      try {
        const result = await work();
        remember(page);
        return result;
      } finally {
        pending.delete(page);
      }
    },
    orders: (rowCountMax) => [...pages.values(), ...pending].flatMap((page) => ordersOf(page, rowCountMax)),
    keepOnly(models) {
      for (const page of [...pages.values()]) {
        const { model, version } = page;
        if (models.some((other) => other.model === model && other.versions.includes(version))) continue;
        forget(page);
      }
    },
    get bytes() {
      return bytes.context + bytes.observation;
    },
  };
}

/** The rows that a request pins or unpins, each once; undefined where it does neither. */
function pageOf({ model, selection, target, pinning }: PrepareRequest): Page | undefined {
  if (pinning === Pinning.UNSPECIFIED || selection.case !== 'version' || target.case === undefined) return undefined;
  const columnCount = target.value.shape.at(-1) ?? 0;
  const where = `Prepare ${target.case}`;
  const decoded = decodeRows(target.value, { where, columnCount, rowCountMax: Number.POSITIVE_INFINITY, model });
  const { keys, values } = distinctRows(decoded, columnCount);
  const rows = new Map(keys.map((key, i) => [key, values.slice(i * columnCount, (i + 1) * columnCount)]));
  return { model, version: selection.value, targetCase: target.case, rows };
}

function ordersOf({ model, version, targetCase, rows }: Page, rowCountMax: number): Uint8Array[] {
  const all = [...rows.values()];
  const columnCount = all[0]?.length ?? 0;
  const orders: Uint8Array[] = [];
  for (let from = 0; from < all.length; from += rowCountMax) {
    const some = all.slice(from, from + rowCountMax);
    const values = new Float32Array(some.length * columnCount);
    some.forEach((row, i) => {
      values.set(row, i * columnCount);
    });
    const request = create(PrepareRequestSchema, {
      model,
      selection: { case: 'version', value: version },
      target: { case: targetCase, value: encodeTensor(values, [some.length, columnCount]) },
      pinning: Pinning.PIN,
    });
    orders.push(toBinary(PrepareRequestSchema, request));
  }
  return orders;
}

const keyOf = ({ model, version, targetCase }: Page): string => `${model}/${version}/${targetCase}`;

const bytesOfRow = (key: string, { byteLength }: Float32Array): number => key.length + byteLength + rowOverheadBytes;
