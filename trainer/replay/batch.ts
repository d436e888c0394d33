/** A batch of transitions as learners take them: one flat array per field, row-major, refilled in place. */

import { requireCount } from '../../src/contract/counts.ts';

export type Batch = {
  /** B: rows. */
  readonly size: number;
  readonly observation: Float32Array; // [B, O]
  readonly action: Float32Array; // [B, A], environment units
  readonly reward: Float32Array; // [B]
  readonly nextObservation: Float32Array; // [B, O]
  /** 1 if the task ended, else 0 (a time limit included). */
  readonly terminated: Float32Array; // [B]
  /** The task, environment units; empty if the environment has no context. */
  readonly context: Float32Array; // [B, C]
};

/** A line for the person where a batch has more rows than its buffer can hold; none where it fits. The flags name both settings. */
export function overdrawn(
  batch: { readonly flag: string; readonly size: number },
  buffer: { readonly flag: string; readonly capacity: number },
): string[] {
  if (batch.size <= buffer.capacity) return [];
  const both = `${batch.flag} ${batch.size} is more than ${buffer.flag} ${buffer.capacity}`;
  return [`${both} can hold: every update has the same transitions several times`];
}

/** A zeroed batch to sample into. @throws HyperpolicyError invalid_argument: a size that is not a positive integer */
export function createBatch({
  size,
  observationSize,
  actionSize,
  contextSize = 0,
}: {
  size: number;
  observationSize: number;
  actionSize: number;
  contextSize?: number;
}): Batch {
  requireCount('batch size', size);
  return {
    size,
    observation: new Float32Array(size * observationSize),
    action: new Float32Array(size * actionSize),
    reward: new Float32Array(size),
    nextObservation: new Float32Array(size * observationSize),
    terminated: new Float32Array(size),
    context: new Float32Array(size * contextSize),
  };
}

/** Views of the rows of `count` equal parts of a batch, one after the other: writing to a part writes to the batch. */
export function partsOf({ size, ...fields }: Batch, count: number): Batch[] {
  return Array.from({ length: count }, (_, part) => {
    const views = Object.entries(fields).map(([name, data]) => {
      const length = data.length / count;
      return [name, data.subarray(part * length, (part + 1) * length)];
    });
    return { size: size / count, ...(Object.fromEntries(views) as Omit<Batch, 'size'>) };
  });
}
