/** Which versions have labels of their own in metrics: those that are open, at most so many at once. All else is `other`. */

import type { Labels } from '../../src/metrics/readings.ts';
import type { AnsweredBy } from '../call/request-record.ts';

/** Each has some hundred series. */
const labelledCountMax = 64;

const others = { model: 'other', version: 'other' } as const;

const keyOf = ({ model, version }: { readonly model: string; readonly version: number }): string =>
  `${model}/${version}`;

export class VersionLabels {
  /** How often each is open: one that is published anew in its place stands beside the former for a while. */
  readonly #openCounts = new Map<string, number>();

  /** A version is being opened. @returns to be called once, when it is freed or refused */
  open(version: AnsweredBy): () => void {
    const key = keyOf(version);
    const openCount = this.#openCounts.get(key) ?? 0;
    if (openCount === 0 && this.#openCounts.size >= labelledCountMax) return () => {};
    this.#openCounts.set(key, openCount + 1);
    return () => {
      const left = this.#openCounts.get(key)! - 1;
      if (left > 0) this.#openCounts.set(key, left);
      else this.#openCounts.delete(key);
    };
  }

  of(version: AnsweredBy): { readonly model: string; readonly version: number | string } {
    return this.#openCounts.has(keyOf(version)) ? { model: version.model, version: version.version } : others;
  }

  /** Of labels that have a model and a version: whether that version was freed. */
  readonly isGone = ({ model, version }: Labels): boolean =>
    version !== others.version && !this.#openCounts.has(`${model}/${version}`);
}
