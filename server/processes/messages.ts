/** What the parent of a server and its processes ask each other. */

import type { Link } from '../../src/messages/link.ts';
import type { ServerSettings } from '../config.ts';
import type { SharedSpool } from '../handles/open-handles.ts';
import type { ReadyModel } from '../models/model-store.ts';
import type { AskedVersion } from '../models/package-loader.ts';
import type { Spent } from './rates.ts';

/** What a metric is in transit. */
export type MetricValues = {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator: string;
  readonly values: readonly unknown[];
};

/** A Prepare that names its version. `deadlineMs` is on the clock of `Date.now()`, which processes share. */
export type PrepareOrder = { readonly request: Uint8Array; readonly deadlineMs: number };

/** What the parent asks a process. */
export type ToProcess = {
  start(body: { readonly settings: ServerSettings; readonly process: number; readonly spool: SharedSpool }): {
    readonly port: number;
    readonly httpPort: number | undefined;
    readonly models: readonly ReadyModel[];
  };
  /** Looks through the store, as ModelStore.refresh; waits until the models are loaded. */
  refresh(asked: AskedVersion | null): readonly ReadyModel[];
  /** Answers at once, whatever is being done: a sign of life. */
  lives(body: null): null;
  metrics(body: null): readonly MetricValues[];
  /** Waits until the models are loaded; answers how many had to be made. */
  prepare(body: PrepareOrder): number;
  /** What other processes have let in. */
  spent(body: Spent): null;
  /** Drains, and answers when everything is freed. */
  stop(body: null): null;
};

/** What a process asks the parent. */
export type ToParent = {
  /** It listens: what is sent to a process before is lost. */
  hello(body: null): null;
  /**
   * It has its models and listens when it is answered: until then it is made equal to the others. What is left of the rates of tokens is
   * in the answer, and what is `spent` comes from then on.
   */
  loaded(body: null): { readonly left: Spent };
  /** What it has let in. */
  spent(body: Spent): null;
  /** To be prepared in every other process; answers the most that had to be made in one. */
  prepareElsewhere(body: PrepareOrder): number;
};

/** The parent's end. */
export type ProcessLink = Link<ToProcess, ToParent>;
