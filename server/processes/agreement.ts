/** Keeps the processes of a server in the same state: they scan the store together, and pins hold in each (why: pin-ledger.ts). */

import type { Logger } from 'pino';
import type { ServerConfig } from '../config.ts';
import type { ReadyModel } from '../models/model-store.ts';
import type { AskedModel } from '../models/package-loader.ts';
import type { Member } from './member.ts';
import type { PrepareOrder, ProcessLink } from './messages.ts';
import { PinLedger } from './pin-ledger.ts';

/** Longest time to load new versions. One that is asked for by its number is waited for until a run of it that does not end is given up. */
const refreshMsMax = 60_000;
/** A run is given up at most so much of `loadMsMax` after it began. */
const givenUpShareMax = 9 / 8;
const prepareMsMax = 60_000;
/** Longest wait for the other processes before a new one starts: one that hangs must not delay it further. */
const catchUpLookMsMax = 5000;

type Look = { readonly asked?: AskedModel | null; readonly timeoutMs?: number };

export class Agreement {
  readonly #members: readonly Member[];
  readonly #log: Logger;
  readonly #pins: PinLedger;
  /** Rows of one order to pin: those of one run, and no more than a process accepts. */
  readonly #orderRowCountMax: number;
  readonly #loadMsMax: number;

  constructor(members: readonly Member[], config: ServerConfig, log: Logger) {
    this.#members = members;
    this.#log = log;
    this.#loadMsMax = config.loadMsMax;
    this.#pins = new PinLedger(config);
    this.#orderRowCountMax = Math.min(config.batchRowCountMax, config.rowCountMax, config.queueRowCountMax);
  }

  /**
   * These processes scan the store, as ModelStore.refresh.
   * @throws the first error, after all have answered
   */
  async refresh(
    members: readonly Member[],
    { asked = null, timeoutMs = this.#lookMsMax(asked) }: Look = {},
  ): Promise<void> {
    await askEach(members, async (member, link) => {
      await member.greeted;
      const models = await link.ask('refresh', asked, timeoutMs);
      // A starting process reports its models when it has started.
      if (!link.closed && member.models !== undefined) member.models = models;
    });
    const serving = readyModels(this.#members);
    // If no process is left, the pins stay for the replacements.
    if (serving.length > 0) this.#pins.keepOnly(serving.flat());
  }

  #lookMsMax(asked: AskedModel | null): number {
    return asked?.version === undefined ? refreshMsMax : refreshMsMax + givenUpShareMax * this.#loadMsMax;
  }

  /** The same for one process, unless it is scanning already; failures are logged. */
  async lookAlone(member: Member): Promise<void> {
    if (member.isLooking) return;
    member.isLooking = true;
    try {
      await this.refresh([member]);
    } catch (error) {
      const reason = (error as Error).message;
      this.#log.error({ process: member.number, reason }, 'looking through the store failed');
    } finally {
      member.isLooking = false;
    }
  }

  /** Brings a process that has loaded its models to the state of the others, within a bounded time. */
  async catchUp(member: Member, link: ProcessLink): Promise<void> {
    const log = this.#log.child({ process: member.number });
    const others = this.#members.filter(({ models }) => models !== undefined);
    // This process may have found versions that the others do not know.
    if (others.length > 0) {
      await this.refresh([...others, member], { timeoutMs: catchUpLookMsMax }).catch((error: Error) =>
        log.warn({ reason: error.message }, 'not every process looked through the store'),
      );
    }
    // No await between the next two lines: later orders must come after these pins.
    member.isLoaded = true;
    member.caughtUp = pinAgain(link, this.#pins.orders(this.#orderRowCountMax), log);
    await member.caughtUp;
  }

  /** Every other process prepares what one was asked to. @returns the largest number that one of them generated */
  prepareElsewhere(asking: Member, order: PrepareOrder): Promise<number> {
    return this.#pins.during(order.request, async () => {
      const others = this.#members.filter((member) => member.isLoaded && member !== asking);
      const timeoutMs = Math.max(1, Math.min(prepareMsMax, order.deadlineMs - Date.now()));
      let mostCount = 0;
      await askEach(others, async (member, link) => {
        await member.caughtUp;
        mostCount = Math.max(mostCount, await link.ask('prepare', order, timeoutMs));
      });
      return mostCount;
    });
  }
}

/** The ready models of each serving process. */
export const readyModels = (members: readonly Member[]): (readonly ReadyModel[])[] =>
  members.flatMap(({ models }) => (models === undefined ? [] : [models]));

/** The versions that are in all of these lists. */
export function inEvery([first = [], ...others]: readonly (readonly ReadyModel[])[]): readonly ReadyModel[] {
  return first.flatMap(({ model, versions }) => {
    const shared = versions.filter((version) =>
      others.every((models) => models.some((other) => other.model === model && other.versions.includes(version))),
    );
    return shared.length === 0 ? [] : [{ model, versions: shared }];
  });
}

/** Asks several processes at once; ignores those that die meanwhile. @throws the first error, after all have answered */
async function askEach(
  asked: readonly Member[],
  ask: (member: Member, link: ProcessLink) => Promise<void>,
): Promise<void> {
  const ends = await Promise.allSettled(
    asked.map(async (member) => {
      const { link } = member;
      if (link === undefined) return;
      await ask(member, link).catch((error: unknown) => {
        // It has died; its replacement scans the store by itself.
        if (!link.closed) throw error;
      });
    }),
  );
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

/**
 * Pins in a new process what the others have pinned, within a bounded time. Never throws: failures are logged, and without the pins the
 * process gives the same answers, only later.
 */
async function pinAgain(link: ProcessLink, orders: readonly Uint8Array[], log: Logger): Promise<void> {
  const deadlineMs = Date.now() + prepareMsMax;
  const failures: string[] = [];
  for (const request of orders) {
    const timeoutMs = Math.max(1, deadlineMs - Date.now());
    await link.ask('prepare', { request, deadlineMs }, timeoutMs).catch((error: Error) => failures.push(error.message));
    if (link.closed) return;
  }
  if (orders.length === 0) return;
  if (failures.length === 0) {
    log.info('pinned again what the others have');
    return;
  }
  const counts = { failedCount: failures.length, orderCount: orders.length };
  log.error({ ...counts, reason: failures[0] }, 'not everything pinned again');
}
