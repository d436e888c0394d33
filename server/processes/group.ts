/**
 * The processes of a server, as their parent manages them: starts, asks, replaces and ends them. Forking is an argument; what a process
 * serves is serving.ts.
 */

import type { Logger } from 'pino';
import { failedPrecondition, HyperpolicyError } from '../../src/contract/errors.ts';
import type { Answerers } from '../../src/messages/link.ts';
import { joinCounts, type MetricValues } from '../../src/metrics/joined.ts';
import type { Rates } from '../access/tokens.ts';
import type { ServerConfig, ServerSettings } from '../config.ts';
import type { SharedSpool } from '../handles/open-handles.ts';
import type { TriedVersion } from '../models/load.ts';
import type { ReadyModel } from '../models/model-store.ts';
import type { AskedModel } from '../models/package-loader.ts';
import { Agreement, inEvery, readyModels } from './agreement.ts';
import { type Forked, lifeMs, Member, silence } from './member.ts';
import type { ToParent } from './messages.ts';
import { createRateHub, type RateHub } from './rates.ts';

export type Ports = { readonly port: number; readonly httpPort: number | undefined };

export type ProcessGroupOptions = {
  readonly config: ServerConfig;
  /** Of each process. */
  readonly settings: ServerSettings;
  readonly spool: SharedSpool;
  /** Rates of tokens, counted for all processes. */
  readonly rates: Rates;
  readonly log: Logger;
  readonly fork: () => Forked;
  /** Monotonic milliseconds. */
  readonly clock?: () => number;
};

/** Delay before the first replacement; it doubles with each further death. */
const restartMsMin = 200;
const restartMsMax = 10_000;
/** A process that served this long has its delay reset. */
const steadyMs = 60_000;
const metricsMsMax = 5000;
/** Extra time after draining, for a process to free its resources. */
const endMsMax = 10_000;

export class ProcessGroup {
  readonly #options: ProcessGroupOptions;
  readonly #clock: () => number;
  readonly #members: readonly Member[];
  readonly #agreement: Agreement;
  readonly #hub: RateHub;
  /** Counts of dead processes, which stay in the sums. */
  #bequeathed: readonly MetricValues[] = [];
  #replacementCount = 0;
  #isStopping = false;
  #ports: Ports | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ProcessGroupOptions) {
    const { config, log, rates, clock = () => performance.now() } = options;
    this.#options = options;
    this.#clock = clock;
    this.#members = Array.from({ length: config.processCount }, (_, i) => new Member(i + 1));
    this.#agreement = new Agreement(this.#members, config, log);
    this.#hub = createRateHub(rates);
  }

  /**
   * Starts all processes at once; resolves when each is ready to answer.
   * @throws HyperpolicyError of the first that cannot start; the others are ended
   */
  async start(): Promise<Ports> {
    try {
      await Promise.all(this.#members.map((member) => this.#launch(member)));
      this.#timer = setInterval(() => this.#askForLife(), lifeMs);
      return this.#ports!;
    } catch (error) {
      this.#startNoMore();
      for (const { process } of this.#members) process?.kill();
      await Promise.all(this.#members.map(({ exited }) => exited));
      throw error instanceof HyperpolicyError ? error : new Error((error as Error).message, { cause: error });
    }
  }

  /**
   * Every process scans the store, as ModelStore.refresh; a starting process does so after its start.
   * @throws HyperpolicyError of the first that failed, after all have answered
   */
  refresh(asked: AskedModel | null = null): Promise<void> {
    return this.#agreement.refresh(this.#members, { asked });
  }

  /** The same without waiting, and without processes that still scan; failures are logged. */
  look(): void {
    for (const member of this.#members) void this.#agreement.lookAlone(member);
  }

  /** Models and versions that are ready in every process. */
  list(): readonly ReadyModel[] {
    return inEvery(readyModels(this.#members));
  }

  /** Metrics of every serving process, and the last known counts of dead ones. */
  async metrics(): Promise<readonly (readonly MetricValues[])[]> {
    await Promise.all(this.#members.map((member) => this.#askForMetrics(member)));
    return [this.#bequeathed, ...this.#members.map(({ counted }) => counted)];
  }

  /** The parent has accepted a request of this token. */
  spent(name: string): void {
    this.#hub.tell(undefined, { [name]: 1 });
  }

  /** Why the server is not ready; undefined if it is. */
  notReady(): string | undefined {
    if (this.#isStopping) return 'draining';
    const hung = this.#members.find(({ isHung }) => isHung);
    if (hung !== undefined) return `process ${hung.number}: ${silence}`;
    const starting = this.#members.find(({ models }) => models === undefined);
    if (starting !== undefined) return `process ${starting.number}: loading`;
    const empty = this.#members.find(({ models }) => models!.length === 0);
    return empty && `process ${empty.number}: no model is ready`;
  }

  /** Versions that take long to load in some process. */
  trying(): readonly TriedVersion[] {
    const all = this.#members.flatMap(({ trying }) => trying);
    return [...new Map(all.map((tried) => [`${tried.model} ${tried.version}`, tried])).values()];
  }

  get servingCount(): number {
    return readyModels(this.#members).length;
  }

  get replacementCount(): number {
    return this.#replacementCount;
  }

  /**
   * Drains and ends all processes at once; kills those that take too long.
   * @throws HyperpolicyError failed_precondition: one ended with an error, or had to be killed
   */
  async stop(): Promise<void> {
    const { config, log } = this.#options;
    this.#startNoMore();
    const timer = setTimeout(() => {
      for (const { process, number } of this.#members) {
        if (process === undefined) continue;
        log.error({ process: number }, 'process killed: it did not end in time');
        process.kill();
      }
    }, config.drainMs + endMsMax);
    const ends = await Promise.all(this.#members.map(endOf));
    clearTimeout(timer);
    const badCount = ends.filter((isGood) => !isGood).length;
    if (badCount === 0) return;
    throw failedPrecondition({
      where: 'the end of the server',
      expected: 'every process to end well',
      actual: `${badCount} of ${ends.length} that did not`,
      remedy: 'The log has the reason',
    });
  }

  #startNoMore(): void {
    this.#isStopping = true;
    clearInterval(this.#timer);
    for (const { restart } of this.#members) clearTimeout(restart);
  }

  #askForLife(): void {
    for (const member of this.#members) {
      member.askForLife();
      if (!member.isHung) continue;
      this.#options.log.error({ process: member.number }, `process killed: ${silence}`);
      member.process?.kill();
    }
  }

  /** If a process does not answer, its last counts stay: a sum that falls would look like a restart. */
  async #askForMetrics(member: Member): Promise<void> {
    const { link, number, models } = member;
    if (link === undefined || models === undefined) return;
    try {
      member.counted = await link.ask('metrics', null, metricsMsMax);
    } catch (error) {
      if (link.closed) return;
      this.#options.log.warn({ process: number, reason: (error as Error).message }, 'metrics are old');
    }
  }

  async #launch(member: Member): Promise<void> {
    const { settings, spool } = this.#options;
    const link = await member.take(this.#fork(member), this.#answersFor(member), (code, signal) =>
      this.#leave(member, code, signal),
    );
    const ports = member.byNumber && { port: this.#ports!.port, httpPort: this.#ports!.httpPort ?? null };
    const own = { ...settings, ...ports };
    const started = await link.ask('start', { settings: own, process: member.number, spool }, Infinity);
    this.#agreeOnPorts(member, started);
    member.models = started.models;
    member.startedAtMs = this.#clock();
  }

  #fork(member: Member): Forked {
    try {
      return this.#options.fork();
    } catch (error) {
      this.#leave(member, null, null);
      throw error;
    }
  }

  /** Answers to the questions of a process. */
  #answersFor(member: Member): Omit<Answerers<ToParent>, 'hello'> {
    const { number } = member;
    return {
      loaded: async () => {
        const link = member.link!;
        await this.#agreement.catchUp(member, link);
        return this.#hub.join(number, (spent) => link.ask('spent', spent, Infinity));
      },
      knows: async ({ ready, trying }) => {
        if (member.models !== undefined) member.models = ready;
        member.trying = trying;
        return null;
      },
      spent: async (spent) => {
        this.#hub.tell(number, spent);
        return null;
      },
      prepareElsewhere: (order) => this.#agreement.prepareElsewhere(member, order),
    };
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

  /** Handles the end of a process. */
  #leave(member: Member, code: number | null, signal: string | null): void {
    const { number, models, counted } = member;
    const isSteady = models !== undefined && this.#clock() - member.startedAtMs >= steadyMs;
    this.#bequeathed = joinCounts([this.#bequeathed, counted]);
    member.leave();
    this.#hub.leave(number);
    if (this.#isStopping || this.#ports === undefined) return;
    if (isSteady) member.deathCount = 0;
    const delayMs = Math.min(restartMsMax, restartMsMin * 2 ** Math.min(member.deathCount, 10));
    member.deathCount++;
    this.#options.log.error({ process: number, code, signal, delayMs }, 'process died; another takes its place');
    member.restart = setTimeout(() => void this.#replace(member), delayMs);
  }

  async #replace(member: Member): Promise<void> {
    if (this.#isStopping) return;
    const { log } = this.#options;
    const { number } = member;
    this.#replacementCount++;
    try {
      await this.#launch(member);
      log.info({ process: number }, 'process replaced');
    } catch (error) {
      if (this.#isStopping) return;
      log.error({ process: number, reason: (error as Error).message }, 'process cannot start');
      member.byNumber = !member.byNumber;
      member.process?.kill();
    }
  }
}

/** Drains and ends a process. @returns whether it ended without an error */
async function endOf({ process, link, models, exited }: Member): Promise<boolean> {
  if (link === undefined) return true;
  if (models === undefined) {
    // It does not serve yet.
    process?.kill();
    await exited;
    return true;
  }
  // Only the exit of the process matters, not this answer.
  link.ask('stop', null, Infinity).catch(() => {});
  return exited;
}
