/** Questions between the parent of a server and its processes. */

import type { Link } from '../../src/messages/link.ts';
import type { MetricValues } from '../../src/metrics/joined.ts';
import type { ServerSettings } from '../config.ts';
import type { SharedSpool } from '../handles/open-handles.ts';
import type { ReadyModel } from '../models/model-store.ts';
import type { AskedModel } from '../models/package-loader.ts';
import type { KnownModels } from '../serving.ts';
import type { Spent } from './rates.ts';

/** A Prepare that names its version. `deadlineMs` is on the clock of `Date.now()`, which processes share. */
export type PrepareOrder = { readonly request: Uint8Array; readonly deadlineMs: number };

/** Questions of the parent to a process. */
export type ToProcess = {
  start(body: { readonly settings: ServerSettings; readonly process: number; readonly spool: SharedSpool }): {
    readonly port: number;
    readonly httpPort: number | undefined;
    readonly models: readonly ReadyModel[];
  };
  /** Scans the store, as ModelStore.refresh; waits until the models are loaded. */
  refresh(asked: AskedModel | null): readonly ReadyModel[];
  /** A sign of life: always answered at once. */
  lives(body: null): null;
  metrics(body: null): readonly MetricValues[];
  /** Waits until the models are loaded; answers how many weights were generated. */
  prepare(body: PrepareOrder): number;
  /** Requests that other processes accepted. */
  spent(body: Spent): null;
  /** Drains; answers when everything is freed. */
  stop(body: null): null;
};

/** Questions of a process to the parent. */
export type ToParent = {
  /** It listens now: earlier messages to it are lost. */
  hello(body: null): null;
  /**
   * It has loaded its models. The parent answers when the process has the state of the others; then it opens its ports. The answer has
   * what is left of the rates of tokens; `spent` messages follow.
   */
  loaded(body: null): { readonly left: Spent };
  /** What it serves has changed: versions that took long come without a question. */
  knows(body: KnownModels): null;
  /** Requests that it accepted. */
  spent(body: Spent): null;
  /** Every other process prepares this; answers the largest number that one of them generated. */
  prepareElsewhere(body: PrepareOrder): number;
};

/** The parent's side. */
export type ProcessLink = Link<ToProcess, ToParent>;
