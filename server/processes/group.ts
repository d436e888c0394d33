/**
 * The processes of a server, seen from their parent: started, asked together, replaced when they die, and ended. How one is forked is an
 * argument; what they serve is serving.ts.
 */

import type { Logger } from 'pino';
import { failedPrecondition, HyperpolicyError } from '../../src/contract/errors.ts';
import type { Rates } from '../access/tokens.ts';
import type { ServerConfig, ServerSettings } from '../config.ts';
import type { SharedSpool } from '../handles/open-handles.ts';
import { askEach, askForMetrics, inEvery, whyNotReady } from './ask-each.ts';
import { pinAgain } from './catch-up.ts';
import { endAll } from './end-all.ts';
import { createLifeSigns, lifeMs, silence } from './life-signs.ts';
import { createMember, type Forked, type Member } from './member.ts';
import {
  createLink,
  type Link,
  type MetricValues,
  type PrepareOrder,
  type ReadyModel,
  type ToParent,
  type ToProcess,
} from './messages.ts';
import { joinCounts } from './metrics.ts';
import { createPinLedger } from './pin-ledger.ts';
import { createRateHub } from './rates.ts';

export type ProcessGroup = {
  /**
   * Starts all of them, together; resolves when each is ready to answer.
   * @throws HyperpolicyError as the first that cannot start; the others are ended
   */
  start(): Promise<{ readonly port: number; readonly httpPort: number | undefined }>;
  /**
   * Has every process look through the store; those that start then do it after their start.
   * @throws HyperpolicyError as the first that failed, after all have answered
   */
  refresh(): Promise<void>;
  /** The same without waiting, and without those that still do it; failures are in the log. */
  look(): void;
  /** What every process has ready. */
  list(): readonly ReadyModel[];
  /** Of every process that serves, and what those that have died had counted when they were last asked. */
  metrics(): Promise<readonly (readonly MetricValues[])[]>;
  /** The parent has let in a request of this token. */
  spent(name: string): void;
  /** Why the server cannot answer in full; undefined where it can. */
  notReady(): string | undefined;
  readonly servingCount: number;
  /** Processes that took the place of one that died. */
  readonly replacementCount: number;
  /**
   * Lets every process drain and end, at once.
   * @throws HyperpolicyError failed_precondition: one ended badly, or had to be killed
   */
  stop(): Promise<void>;
};

export type ProcessGroupOptions = {
  readonly config: ServerConfig;
  /** For each process. */
  readonly settings: ServerSettings;
  readonly spool: SharedSpool;
  /** Of tokens, as the parent counts them for all. */
  readonly rates: Rates;
  readonly log: Logger;
  readonly fork: () => Forked;
  /** Milliseconds, not going backwards. */
  readonly clock?: () => number;
};

/** The first replacement comes after so long, each later one after twice as long. */
const restartMsMin = 200;
const restartMsMax = 10_000;
/** One that served for so long died of something new. */
const steadyMs = 60_000;
/** For loading what is new in the store. */
const refreshMsMax = 60_000;
const prepareMsMax = 60_000;
/** For the others to look through the store with one that has just loaded: one that hangs holds it back no longer. */
const catchUpLookMsMax = 5000;

export function createProcessGroup(options: ProcessGroupOptions): ProcessGroup {
  const { config, settings, spool, rates, log, fork, clock = () => performance.now() } = options;
  const members = Array.from({ length: config.processCount }, (_, i) => createMember(i + 1));
  /** What processes that have died had counted. */
  let bequeathed: readonly MetricValues[] = [];
  let ports: { readonly port: number; readonly httpPort: number | undefined } | undefined;
  let replacementCount = 0;
  let stopping = false;
  let lifeTimer: NodeJS.Timeout | undefined;
  const pins = createPinLedger(config);
  const hub = createRateHub(rates);
  // As many as run together, and no more than a process takes.
  const orderRowCountMax = Math.min(config.batchRowCountMax, config.rowCountMax, config.queueRowCountMax);

  const serving = () => members.filter(({ models }) => models !== undefined);

  async function refresh(asked: readonly Member[], timeoutMs = refreshMsMax): Promise<void> {
    await askEach(asked, { kind: 'refresh', body: null, timeoutMs }, (member, answer) => {
      // One that starts tells by its start.
      if (member.models !== undefined) member.models = answer;
    });
    const models = serving().flatMap((member) => member.models!);
    // Where all have died, those that take their places have what they had.
    if (models.length > 0) pins.keepOnly(models);
  }

  /** What a process that has loaded its models lacks to be as the others: bounded in time, and best as far as it goes. */
  async function catchUp(member: Member, link: Link<ToProcess>) {
    const { number } = member;
    const others = serving();
    // Those that nobody has look through the store may not know what this one has just found there.
    if (others.length > 0) {
      await refresh([...others, member], catchUpLookMsMax).catch((error: Error) =>
        log.warn({ process: number, reason: error.message }, 'not every process looked through the store'),
      );
    }
    // In one turn: what is asked for from now on comes after these.
    member.isLoaded = true;
    member.caughtUp = pinAgain({
      link,
      orders: pins.orders(orderRowCountMax),
      deadlineMs: Date.now() + prepareMsMax,
      log: log.child({ process: number }),
    });
    await member.caughtUp;
    return hub.join(number, (spent) => link.ask('spent', spent, Infinity));
  }

  async function lookAlone(member: Member): Promise<void> {
    if (member.isLooking) return;
    member.isLooking = true;
    try {
      await refresh([member]);
    } catch (error) {
      const reason = (error as Error).message;
      log.error({ process: member.number, reason }, 'looking through the store failed');
    } finally {
      member.isLooking = false;
    }
  }

  const prepareElsewhere = (asking: Member, order: PrepareOrder): Promise<number> =>
    pins.during(order.request, async () => {
      const others = members.filter((member) => member.isLoaded && member !== asking);
      const timeoutMs = Math.max(1, Math.min(prepareMsMax, order.deadlineMs - Date.now()));
      let mostCount = 0;
      await askEach(others, { kind: 'prepare', body: order, timeoutMs, after: 'caughtUp' }, (_, count) => {
        mostCount = Math.max(mostCount, count);
      });
      return mostCount;
    });

  function askForLife(): void {
    for (const { number, process, life } of members) {
      if (process === undefined || life === undefined) continue;
      life.tick();
      if (!life.isHung) continue;
      log.error({ process: number }, `process killed: ${silence}`);
      process.kill();
    }
  }

  const settingsOf = ({ byNumber }: Member): ServerSettings =>
    byNumber ? { ...settings, port: ports!.port, httpPort: ports!.httpPort ?? null } : settings;

  function tryFork(member: Member): Forked {
    try {
      return fork();
    } catch (error) {
      leave(member, null, null);
      throw error;
    }
  }

  async function launch(member: Member): Promise<void> {
    const { number } = member;
    const forked = tryFork(member);
    let greet = () => {};
    const greeted = new Promise<void>((resolve) => {
      greet = resolve;
    });
    const link: Link<ToProcess> = createLink<ToProcess, ToParent>({
      name: `process ${number}`,
      send: (message) => forked.send(message),
      answer: {
        async hello() {
          greet();
          return null;
        },
        loaded: () => catchUp(member, link),
        async spent(spent) {
          hub.tell(number, spent);
          return null;
        },
        prepareElsewhere: (order) => prepareElsewhere(member, order),
      },
    });
    member.process = forked;
    member.link = link;
    forked.onMessage((message) => link.receive(message));
    member.exited = new Promise((resolve) => {
      forked.onExit((code, signal) => {
        link.close();
        leave(member, code, signal);
        resolve(code === 0);
      });
    });
    member.greeted = Promise.race([greeted, member.exited]);
    await member.greeted;
    member.life = createLifeSigns(() => link.ask('lives', null, Infinity));
    const started = await link.ask('start', { settings: settingsOf(member), process: number, spool }, Infinity);
    if (ports !== undefined && (started.port !== ports.port || started.httpPort !== ports.httpPort)) {
      throw failedPrecondition({
        where: `process ${number}`,
        expected: `the ports ${ports.port} and ${ports.httpPort ?? 'none'}`,
        actual: `${started.port} and ${started.httpPort ?? 'none'}`,
      });
    }
    member.models = started.models;
    member.startedAtMs = clock();
    ports ??= started;
  }

  /** A process has ended, asked or not. */
  function leave(member: Member, code: number | null, signal: string | null): void {
    const { number } = member;
    const servedMs = member.models === undefined ? 0 : clock() - member.startedAtMs;
    bequeathed = joinCounts([bequeathed, member.counted]);
    const gone = { process: undefined, link: undefined, life: undefined, models: undefined, isLoaded: false };
    Object.assign(member, { ...gone, counted: [] });
    hub.leave(number);
    if (stopping || ports === undefined) return;
    member.deathCount = servedMs >= steadyMs ? 0 : member.deathCount;
    const delayMs = Math.min(restartMsMax, restartMsMin * 2 ** Math.min(member.deathCount, 10));
    member.deathCount++;
    log.error({ process: number, code, signal, delayMs }, 'process died; another takes its place');
    member.restart = setTimeout(() => void replace(member), delayMs);
  }

  async function replace(member: Member): Promise<void> {
    if (stopping) return;
    replacementCount++;
    try {
      await launch(member);
      log.info({ process: member.number }, 'process replaced');
    } catch (error) {
      if (stopping) return;
      log.error({ process: member.number, reason: (error as Error).message }, 'process cannot start');
      member.byNumber = !member.byNumber;
      member.process?.kill();
    }
  }

  /** From now on nobody is replaced. */
  function startNoMore(): void {
    stopping = true;
    clearInterval(lifeTimer);
    for (const { restart } of members) clearTimeout(restart);
  }

  async function end(): Promise<void> {
    startNoMore();
    await endAll(members, { drainMs: config.drainMs, log });
  }

  return {
    async start() {
      try {
        await Promise.all(members.map(launch));
        lifeTimer = setInterval(askForLife, lifeMs);
        return ports!;
      } catch (error) {
        startNoMore();
        for (const { process } of members) process?.kill();
        await Promise.all(members.map(({ exited }) => exited));
        throw error instanceof HyperpolicyError ? error : new Error((error as Error).message, { cause: error });
      }
    },
    refresh: () => refresh(members),
    look() {
      for (const member of members) void lookAlone(member);
    },
    list: () => inEvery(serving().map(({ models }) => models!)),
    async metrics() {
      await Promise.all(serving().map((member) => askForMetrics(member, log)));
      return [bequeathed, ...members.map(({ counted }) => counted)];
    },
    spent: (name) => hub.tell(undefined, { [name]: 1 }),
    notReady: () => (stopping ? 'draining' : whyNotReady(members)),
    get servingCount() {
      return serving().length;
    },
    get replacementCount() {
      return replacementCount;
    },
    stop: end,
  };
}
