/** A learner at a case of test/golden/updates: its parameters, batch and noise, and what its updates must make of them. */

import type { Random } from '../../../src/contract/random.ts';
import { plainSpec } from '../../../src/contract/tensor-spec.ts';
import type { ActionScaling } from '../../../src/nn/action-scaling.ts';
import type { CriticConfig } from '../../../src/nn/critics/registry.ts';
import { under } from '../../../src/nn/parameters.ts';
import type { Trainable } from '../../../src/optim/trainable.ts';
import { type Batch, createBatch } from '../../../trainer/replay/batch.ts';
import { type ReferenceParameter, sine } from '../../nn/reference.ts';
import { expectAfter } from './compare.ts';
import type { Inputs } from './compute.ts';
import { type GoldenNetwork, goldenNetworks, goldenTensors, hyperPlaces, mlpPlaces, startOf } from './tensors.ts';

/** What the cases of all algorithms have. */
export type GoldenCase = {
  readonly critic: 'mlp' | 'sa-hyper';
  readonly state_dim: number;
  readonly action_dim: number;
  readonly batch: number;
  readonly low: readonly number[];
  readonly high: readonly number[];
  readonly gamma: number;
  readonly tau: number;
  readonly phases: Readonly<Record<'state' | 'action' | 'reward' | 'next_state' | 'noise', number>>;
  readonly terminated: readonly number[];
  readonly params: Readonly<Record<'actor' | 'critic', readonly ReferenceParameter[]>>;
  readonly order: readonly string[];
};

/** A case in our terms: networks, specs, rows of its formula and the transitions made of them. */
export function goldenSetting(golden: GoldenCase) {
  const { state_dim, action_dim, batch, phases, params } = golden;
  const sizes = { observationSize: state_dim, actionSize: action_dim, contextSize: 0 };
  const goldens = goldenNetworks(golden.order, (name) => {
    const isActor = name.startsWith('actor');
    const tensors = params[isActor ? 'actor' : 'critic'];
    const isHyper = golden.critic === 'sa-hyper' && !isActor;
    return { tensors, places: isHyper ? hyperPlaces('sa-hyper', sizes, tensors) : mlpPlaces(tensors) };
  });
  const specs = {
    observation: plainSpec('observation', state_dim),
    action: { ...plainSpec('action', action_dim), low: [...golden.low], high: [...golden.high] },
    context: null,
  };
  const rows = (size: number, phase: number, scale?: number) => ({
    data: sine(batch * size, phase, scale),
    shape: [batch, size],
  });
  const inputs: Inputs = {
    observation: rows(state_dim, phases.state),
    action: rows(action_dim, phases.action, 0.9),
    reward: { data: sine(batch, phases.reward), shape: [batch] },
    nextObservation: rows(state_dim, phases.next_state),
    terminated: { data: Float32Array.from(golden.terminated), shape: [batch] },
  };
  return { goldens, specs, rows, inputs };
}

type Views = Readonly<Record<string, Float32Array>>;
type Trainables = Readonly<Record<'actor' | 'critic', Pick<Trainable, 'parameters' | 'target'>>>;

/** The arrays of each golden network: a member of the critic, `_target` for a target. */
function viewsOf({ actor, critic }: Trainables, name: string): Views {
  const isTarget = name.endsWith('_target');
  const { parameters, target } = name.startsWith('actor') ? actor : critic;
  const views = isTarget ? target : parameters;
  return name.startsWith('actor') ? views : under(name.startsWith('q1') ? 'q0' : 'q1', views);
}

/** The widths that golden tensors have. */
export function criticConfig(critic: 'mlp' | 'sa-hyper', tensors: readonly ReferenceParameter[]): CriticConfig {
  const rows = (pattern: RegExp) => rowsOf(tensors, pattern);
  if (critic === 'mlp') return { architecture: 'mlp-standard', hiddenSizes: rows(/^linear\d+\.bias$/).slice(0, -1) };
  const trunkSizes = rows(/^hyper\.hyper\.\d+\.bias$/);
  return { architecture: 'sa-hyper', trunkSizes, dynamicHiddenSizes: rows(/^layer1\.b1\.bias$/) };
}

export const rowsOf = (tensors: readonly ReferenceParameter[], pattern: RegExp): number[] =>
  tensors.filter(({ name }) => pattern.test(name)).map(({ shape }) => shape[0]!);

/** Fills parameters and targets with those of the formula. */
export function fillStart(trainables: Trainables, goldens: Readonly<Record<string, GoldenNetwork>>): void {
  for (const [name, golden] of Object.entries(goldens)) {
    const values = startOf(golden);
    for (const [tensor, view] of Object.entries(viewsOf(trainables, name))) view.set(values[tensor]!);
  }
}

export function expectStepped(
  trainables: Trainables,
  goldens: Readonly<Record<string, GoldenNetwork>>,
  after: Readonly<Record<string, readonly (readonly number[])[]>>,
): void {
  for (const [name, values] of Object.entries(after)) {
    expectAfter(goldenTensors(goldens[name]!, viewsOf(trainables, name)), values, name);
  }
}

/** The transitions as a loop hands them over: actions in environment units. */
export function batchOf(inputs: Inputs, { centre, half }: ActionScaling): Batch {
  const [size, observationSize] = inputs.observation!.shape as [number, number];
  const batch = createBatch({ size, observationSize, actionSize: centre.length });
  for (const name of ['observation', 'reward', 'nextObservation', 'terminated'] as const) {
    batch[name].set(inputs[name]!.data);
  }
  inputs.action!.data.forEach((value, i) => {
    const n = i % centre.length;
    batch.action[i] = centre[n]! + half[n]! * value;
  });
  return batch;
}

/** Draws given values, one array after the other and then again from the first. */
export function noiseInTurn(draws: readonly Float32Array[]): Random {
  let next = 0;
  return { fillNormal: (into: Float32Array) => into.set(draws[next++ % draws.length]!) } as Partial<Random> as Random;
}
