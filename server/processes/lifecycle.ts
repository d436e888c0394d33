/** The life of the processes of a server: started, watched, and replaced when they die. */

import type { Logger } from 'pino';
import { failedPrecondition, HyperpolicyError } from '../../src/contract/errors.ts';
import type { ServerSettings } from '../config.ts';
import type { SharedSpool } from '../handles/open-handles.ts';
import type { Agreement } from './agreement.ts';
import { createLifeSigns, lifeMs, silence } from './life-signs.ts';
import type { Forked, Member } from './member.ts';
import { createLink, type Link, type MetricValues, type ToParent, type ToProcess } from './messages.ts';
import { joinCounts } from './metrics.ts';
import type { RateHub } from './rates.ts';

export type Ports = { readonly port: number; readonly httpPort: number | undefined };

export type LifecycleOptions = {
  readonly members: readonly Member[];
  /** For each process. */
  readonly settings: ServerSettings;
  readonly spool: SharedSpool;
  readonly agreement: Agreement;
  readonly hub: RateHub;
  readonly log: Logger;
  readonly fork: () => Forked;
  /** Milliseconds, not going backwards. */
  readonly clock: () => number;
};

/** The first replacement comes after so long, each later one after twice as long. */
const restartMsMin = 200;
const restartMsMax = 10_000;
/** One that served for so long died of something new. */
const steadyMs = 60_000;

export class Lifecycle {
  readonly #options: LifecycleOptions;
  /** What processes that have died had counted. */
  bequeathed: readonly MetricValues[] = [];
  replacementCount = 0;
  isStopping = false;
  #ports: Ports | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LifecycleOptions) {
    this.#options = options;
  }

  /** Starts all processes together. @throws HyperpolicyError as the first that cannot start; the others are ended */
  async start(): Promise<Ports> {
    const { members } = this.#options;
    try {
      await Promise.all(members.map((member) => this.#launch(member)));
      this.#timer = setInterval(() => this.#askForLife(), lifeMs);
      return this.#ports!;
    } catch (error) {
      this.startNoMore();
      for (const { process } of members) process?.kill();
      await Promise.all(members.map(({ exited }) => exited));
      throw error instanceof HyperpolicyError ? error : new Error((error as Error).message, { cause: error });
    }
  }

  /** From now on nobody is replaced. */
  startNoMore(): void {
    this.isStopping = true;
    clearInterval(this.#timer);
    for (const { restart } of this.#options.members) clearTimeout(restart);
  }

  #askForLife(): void {
    const { members, log } = this.#options;
    for (const { number, process, life } of members) {
      if (process === undefined || life === undefined) continue;
      life.tick();
      if (!life.isHung) continue;
      log.error({ process: number }, `process killed: ${silence}`);
      process.kill();
    }
  }

  async #launch(member: Member): Promise<void> {
    const { settings, spool, clock } = this.#options;
    const link = await this.#connect(member);
    member.life = createLifeSigns(() => link.ask('lives', null, Infinity));
    const ports = this.#ports;
    const own = member.byNumber ? { ...settings, port: ports!.port, httpPort: ports!.httpPort ?? null } : settings;
    const started = await link.ask('start', { settings: own, process: member.number, spool }, Infinity);
    this.#agreeOnPorts(member, started);
    member.models = started.models;
    member.startedAtMs = clock();
  }

  /** Forks a process, and waits until it asks for its settings or ends. */
  async #connect(member: Member): Promise<Link<ToProcess>> {
    const forked = this.#fork(member);
    let greet = () => {};
    const greeted = new Promise<void>((resolve) => {
      greet = resolve;
    });
    const link = this.#linkTo(member, forked, () => greet());
    member.process = forked;
    member.link = link;
    forked.onMessage((message) => link.receive(message));
    member.exited = new Promise((resolve) => {
      forked.onExit((code, signal) => {
        link.close();
        this.#leave(member, code, signal);
        resolve(code === 0);
      });
    });
    member.greeted = Promise.race([greeted, member.exited]);
    await member.greeted;
    return link;
  }

  #linkTo(member: Member, forked: Forked, greet: () => void): Link<ToProcess> {
    const { agreement, hub } = this.#options;
    const { number } = member;
    const link: Link<ToProcess> = createLink<ToProcess, ToParent>({
      name: `process ${number}`,
      send: (message) => forked.send(message),
      answer: {
        async hello() {
          greet();
          return null;
        },
        async loaded() {
          await agreement.catchUp(member, link);
          return hub.join(number, (spent) => link.ask('spent', spent, Infinity));
        },
        async spent(spent) {
          hub.tell(number, spent);
          return null;
        },
        prepareElsewhere: (order) => agreement.prepareElsewhere(member, order),
      },
    });
    return link;
  }

  #fork(member: Member): Forked {
    try {
      return this.#options.fork();
    } catch (error) {
      this.#leave(member, null, null);
      throw error;
    }
  }

  #agreeOnPorts({ number }: Member, started: Ports): void {
    this.#ports ??= started;
    const { port, httpPort } = this.#ports;
    if (started.port === port && started.httpPort === httpPort) return;
    throw failedPrecondition({
      where: `process ${number}`,
      expected: `the ports ${port} and ${httpPort ?? 'none'}`,
      actual: `${started.port} and ${started.httpPort ?? 'none'}`,
    });
  }

  /** A process has ended, asked or not. */
  #leave(member: Member, code: number | null, signal: string | null): void {
    const { hub, log, clock } = this.#options;
    const { number } = member;
    const servedMs = member.models === undefined ? 0 : clock() - member.startedAtMs;
    this.bequeathed = joinCounts([this.bequeathed, member.counted]);
    const gone = { process: undefined, link: undefined, life: undefined, models: undefined, isLoaded: false };
    Object.assign(member, { ...gone, counted: [] });
    hub.leave(number);
    if (this.isStopping || this.#ports === undefined) return;
    member.deathCount = servedMs >= steadyMs ? 0 : member.deathCount;
    const delayMs = Math.min(restartMsMax, restartMsMin * 2 ** Math.min(member.deathCount, 10));
    member.deathCount++;
    log.error({ process: number, code, signal, delayMs }, 'process died; another takes its place');
    member.restart = setTimeout(() => void this.#replace(member), delayMs);
  }

  async #replace(member: Member): Promise<void> {
    if (this.isStopping) return;
    const { log } = this.#options;
    this.replacementCount++;
    try {
      await this.#launch(member);
      log.info({ process: member.number }, 'process replaced');
    } catch (error) {
      if (this.isStopping) return;
      log.error({ process: member.number, reason: (error as Error).message }, 'process cannot start');
      member.byNumber = !member.byNumber;
      member.process?.kill();
    }
  }
}
