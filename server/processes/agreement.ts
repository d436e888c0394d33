/** What keeps the processes of a server alike: they look through the store together, and what is pinned is pinned in each. */

import type { Logger } from 'pino';
import type { ServerConfig } from '../config.ts';
import { askEach } from './ask-each.ts';
import { pinAgain } from './catch-up.ts';
import type { Member } from './member.ts';
import type { Link, PrepareOrder, ToProcess } from './messages.ts';
import { createPinLedger, type PinLedger } from './pin-ledger.ts';

/** For loading what is new in the store. */
const refreshMsMax = 60_000;
const prepareMsMax = 60_000;
/** For looking through the store with a process that has just loaded: one that hangs delays it no longer. */
const catchUpLookMsMax = 5000;

export class Agreement {
  readonly #members: readonly Member[];
  readonly #log: Logger;
  readonly #pins: PinLedger;
  /** As many as run together, and no more than a process takes. */
  readonly #orderRowCountMax: number;

  constructor(members: readonly Member[], config: ServerConfig, log: Logger) {
    this.#members = members;
    this.#log = log;
    this.#pins = createPinLedger(config);
    this.#orderRowCountMax = Math.min(config.batchRowCountMax, config.rowCountMax, config.queueRowCountMax);
  }

  #serving(): Member[] {
    return this.#members.filter(({ models }) => models !== undefined);
  }

  /** Has these processes look through the store. @throws the first error, after all have answered */
  async refresh(asked: readonly Member[], timeoutMs = refreshMsMax): Promise<void> {
    await askEach(asked, { kind: 'refresh', body: null, timeoutMs }, (member, answer) => {
      // A process that starts tells its models when it has started.
      if (member.models !== undefined) member.models = answer;
    });
    const models = this.#serving().flatMap((member) => member.models!);
    // Where all have died, the processes that replace them pin what they had.
    if (models.length > 0) this.#pins.keepOnly(models);
  }

  /** The same for one process, unless it does so already; a failure is in the log. */
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

  /** Makes a process that has loaded its models like the others, as far as that can be done in a bounded time. */
  async catchUp(member: Member, link: Link<ToProcess>): Promise<void> {
    const { number: process } = member;
    const others = this.#serving();
    // The others may not know what this process has just found in the store.
    if (others.length > 0) {
      await this.refresh([...others, member], catchUpLookMsMax).catch((error: Error) =>
        this.#log.warn({ process, reason: error.message }, 'not every process looked through the store'),
      );
    }
    // In one turn: what is asked for from now on comes after these.
    member.isLoaded = true;
    member.caughtUp = pinAgain({
      link,
      orders: this.#pins.orders(this.#orderRowCountMax),
      deadlineMs: Date.now() + prepareMsMax,
      log: this.#log.child({ process }),
    });
    await member.caughtUp;
  }

  /** Has every other process prepare what one was asked to. @returns the most that one of them generated */
  prepareElsewhere(asking: Member, order: PrepareOrder): Promise<number> {
    return this.#pins.during(order.request, async () => {
      const others = this.#members.filter((member) => member.isLoaded && member !== asking);
      const timeoutMs = Math.max(1, Math.min(prepareMsMax, order.deadlineMs - Date.now()));
      let mostCount = 0;
      await askEach(others, { kind: 'prepare', body: order, timeoutMs, after: 'caughtUp' }, (_, count) => {
        mostCount = Math.max(mostCount, count);
      });
      return mostCount;
    });
  }
}
