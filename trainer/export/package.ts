/** From a trained actor and critic to a published model package with probes. */

import * as tf from '@tensorflow/tfjs-core';
import { toEnvironment, toNormalised } from '../../src/nn/action-scaling.ts';
import { memberQ } from '../../src/nn/critics/critic.ts';
import { under } from '../../src/nn/parameters.ts';
import type { Manifest, Probe } from '../../src/spec/manifest.ts';
import { type ManifestDraft, type PublishedPackage, publishPackage } from '../../src/spec/package.ts';
import { createRandom } from '../../src/spec/random.ts';
import type { PolicySpecs } from '../../src/spec/tensor-spec.ts';
import { boundParameters, type Engine } from '../engine/engine.ts';
import { type CriticExport, exportCritic } from './critic.ts';
import { type DeterministicPolicyExport, exportDeterministicPolicy } from './policy.ts';

export type ActorCriticPackage = {
  readonly store: string;
  readonly model: string;
  readonly algorithm: string;
  readonly environment: string;
  readonly specs: PolicySpecs;
  readonly rewardScale: number;
  readonly policy: DeterministicPolicyExport;
  readonly critic: CriticExport;
  readonly training: ManifestDraft['training'];
  /** Computes the probes' outputs from the live parameters, apart from the exported files. */
  readonly engine: Engine;
};

const probeRows = 4;
const probeTolerance = 1e-4;
const probeStream = 0x70726f62;

/** Exports, probes and publishes. Errors: those of publishPackage. */
export async function publishActorCritic(options: ActorCriticPackage): Promise<PublishedPackage> {
  const { specs, policy, critic, training } = options;
  const policyFile = exportDeterministicPolicy(policy);
  const criticFiles = exportCritic(critic);
  const architecture = critic.critic.member.architecture;
  const ensembleSize = critic.critic.ensembleSize as 1 | 2;
  const criticEntry: Manifest['critic'] =
    criticFiles.kind === 'plain'
      ? { kind: 'plain', architecture, ensembleSize, graph: criticFiles.graph.graph }
      : {
          kind: 'hyper',
          architecture,
          ensembleSize,
          primary: criticFiles.primary.graph,
          dynamic: criticFiles.dynamic.graph,
        };
  const graphs =
    criticFiles.kind === 'plain'
      ? [policyFile, criticFiles.graph]
      : [policyFile, criticFiles.primary, criticFiles.dynamic];
  return publishPackage({
    store: options.store,
    model: options.model,
    files: new Map(graphs.map(({ graph, bytes }) => [graph.file, bytes])),
    manifest: {
      algorithm: options.algorithm,
      environment: options.environment,
      observation: specs.observation,
      action: specs.action,
      context: null,
      rewardScale: options.rewardScale,
      normalisation: {},
      policy: { kind: 'plain', architecture: 'mlp', stochastic: false, graph: policyFile.graph },
      critic: criticEntry,
      encoder: null,
      adapt: null,
      training,
      probes: probes(options),
    },
  });
}

/** Unit-normal observations and actions inside the bounds, with what the networks make of them at a fixed batch size. */
function probes({ policy, critic, engine }: ActorCriticPackage): Probe[] {
  const { observationSize, actionSize } = critic;
  const random = createRandom(0, probeStream);
  const observation = new Float32Array(probeRows * observationSize);
  random.fillNormal(observation);
  const action = new Float32Array(probeRows * actionSize);
  const q = new Float32Array(probeRows * critic.critic.ensembleSize);
  const gradient = new Float32Array(q.length * actionSize);
  const computation = engine.compile({
    name: 'probes',
    inputs: {
      ...boundParameters('actor', policy.parameters.views, policy.parameters.shapes),
      ...boundParameters('critic', critic.parameters.views, critic.parameters.shapes),
      observation: { shape: [probeRows, observationSize], data: observation },
    },
    outputs: { action, q, dq_da: gradient },
    fn: (inputs) => {
      const states = inputs.observation as tf.Tensor2D;
      const actions = toEnvironment(policy.scaling, policy.actor(under('actor', inputs), states));
      const parameters = under('critic', inputs);
      const member = (i: number) => (a: tf.Tensor) =>
        memberQ(critic.critic, i, parameters, states, toNormalised(critic.scaling, a) as tf.Tensor2D);
      const members = Array.from({ length: critic.critic.ensembleSize }, (_, i) => member(i));
      const stack = (tensors: tf.Tensor[]) => tf.stack(tensors, 1);
      return {
        action: actions,
        q: stack(members.map((f) => f(actions))),
        dq_da: stack(members.map((f) => tf.grad((a: tf.Tensor) => tf.sum(f(a)))(actions))),
      };
    },
  });
  computation.run();
  computation.dispose();
  const rows = (data: Float32Array, ...shape: number[]) => ({ shape: [probeRows, ...shape], values: [...data] });
  const states = rows(observation, observationSize);
  const actions = rows(action, actionSize);
  const ensembleSize = critic.critic.ensembleSize;
  return [
    { target: 'policy', inputs: { observation: states }, outputs: { action: actions }, tolerance: probeTolerance },
    {
      target: 'critic',
      inputs: { observation: states, action: actions },
      outputs: { q: rows(q, ensembleSize), dq_da: rows(gradient, ensembleSize, actionSize) },
      tolerance: probeTolerance,
    },
  ];
}
