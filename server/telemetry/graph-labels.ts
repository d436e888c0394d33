/** The names that heavy graphs have in metrics: those of the first 32 files. Others are `other`, as packages may name their files as they like. */

const labelledCountMax = 32;

export class GraphLabels {
  readonly #names = new Set<string>();

  of(name: string): string {
    if (this.#names.size < labelledCountMax) this.#names.add(name);
    return this.#names.has(name) ? name : 'other';
  }
}
