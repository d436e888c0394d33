/** A published model's critic, in process: values and action-gradients of a batch. */

import { failedPrecondition } from '../../src/contract/errors.ts';
import { type Gradients, reduceEnsemble } from '../../src/contract/reduced-ensemble.ts';
import { specSizes } from '../../src/contract/tensor-spec.ts';
import type { ReductionName } from '../../src/contract/words.ts';
import { floatTensor, indexTensor, openSession, type Session, type TensorMap } from '../../src/onnx/session.ts';
import type { ModelPackage } from '../../src/package/package.ts';

/** N rows, environment units. */
type CriticRows = {
  /** [N, O] */
  readonly observations: Float32Array;
  /** [N, A] */
  readonly actions: Float32Array;
  /** The tasks, [N, C]; C may be 0. */
  readonly contexts: Float64Array;
};

export type BatchCritic = {
  /** q = scale x discounted environment rewards. */
  readonly rewardScale: number;
  /** @returns q [N] and its gradient with respect to the action [N, A], of one of the value functions or their mean */
  evaluate(rows: CriticRows, reduction: ReductionName): Gradients;
  /** Frees native memory. */
  dispose(): void;
};

/**
 * Opens the critic.
 * @throws HyperpolicyError failed_precondition: the package has none
 */
export function createPackageCritic({ directory, manifest, files }: ModelPackage): BatchCritic {
  const { critic, algorithm, rewardScale } = manifest;
  if (critic === null) {
    throw failedPrecondition({
      where: directory,
      expected: 'a package with a critic',
      actual: `one of ${algorithm} without`,
      remedy: 'Name a model that "hyperpolicy train td3" or "hyperpolicy train sac" has published',
    });
  }
  const { observationSize, actionSize } = specSizes(manifest);
  const open = ({ file }: { readonly file: string }) =>
    openSession(files.get(file)!, { threadCount: 1, foreign: true }, file);
  const sessions = critic.kind === 'plain' ? [open(critic.graph)] : [open(critic.primary), open(critic.dynamic)];
  const last = sessions.at(-1)!;
  const sizes = { ensembleSize: critic.ensembleSize, actionSize };
  return {
    rewardScale,
    evaluate({ observations, actions, contexts }, reduction) {
      const rowCount = actions.length / actionSize;
      const observation = floatTensor(observations, [rowCount, observationSize]);
      const inputs: TensorMap = { observation, action: floatTensor(actions, [rowCount, actionSize]) };
      if (takes(last, 'context')) {
        inputs.context = floatTensor(Float32Array.from(contexts), [rowCount, contexts.length / rowCount]);
      }
      if (sessions.length > 1) {
        Object.assign(inputs, sessions[0]!.run({ observation }), {
          index: indexTensor(Int32Array.from({ length: rowCount }, (_, row) => row)),
        });
      }
      const feeds = Object.fromEntries(Object.entries(inputs).filter(([name]) => takes(last, name)));
      const { q, dq_da: dqDa } = last.run(feeds);
      return reduceEnsemble(
        { q: q!.data as Float32Array, dqDa: dqDa!.data as Float32Array },
        { reduction, rowCount, ...sizes },
      );
    },
    dispose() {
      for (const session of sessions) session.dispose();
    },
  };
}

const takes = ({ inputs }: Session, name: string): boolean => inputs.some((input) => input.name === name);
