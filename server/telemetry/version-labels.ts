/** The versions that have labels of their own in metrics: open ones, at most 64 at once. All others are `other`. */

import type { Labels } from '../../src/metrics/readings.ts';
import type { AnsweredBy } from '../call/request-record.ts';

/** A version has some hundred series. */
const labelledCountMax = 64;

const others = { model: 'other', version: 'other' } as const;

const keyOf = ({ model, version }: Labels): string => `${model}/${version}`;

export class VersionLabels {
  /** How often each is open: while a package is replaced by one with the same number, both are. */
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

  /** Whether the version that these labels name was freed. */
  readonly isGone = (labels: Labels): boolean =>
    labels.version !== others.version && !this.#openCounts.has(keyOf(labels));
}
