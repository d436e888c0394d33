/** What a choice has no use for is named, if it was given; defaults are not. So are settings with which little is learnt. */

import { expect, test } from 'vitest';
import { loadAlgorithm } from '../../../trainer/algorithms/registry.ts';
import { completeConfig } from '../../../trainer/run/complete-config.ts';
import { unusedSettings } from '../../../trainer/run/unused-settings.ts';

async function linesOf(name: string, settings: object, environment = 'Point-Robot'): Promise<string[]> {
  const algorithm = await loadAlgorithm(name);
  const config = completeConfig(algorithm, { environment, threadCount: 1, algorithm: { name, ...settings } });
  const lines = unusedSettings(algorithm, config);
  // A config that was written whole says the same again.
  expect(unusedSettings(algorithm, JSON.parse(JSON.stringify(config)))).toEqual(lines);
  return lines.map((line) => line.replace(': the setting changes nothing', ''));
}

test.each([
  ['td3', {}],
  ['td3', { policy: 'hyper', hyperPolicy: { trunkSizes: [8], initialisation: 'hfi' }, contextUnits: 'raw' }],
  ['sac', { policy: 'hyper', hyperPolicy: { trunkLayerNorm: true, dynamicDense: true, headRank: 2 } }],
  ['td3', { critic: { architecture: 'mlp-small', hiddenSizes: [8] }, actorHiddenSizes: [8] }],
  ['sac', { policy: 'mlp', temperature: 'learned', targetEntropy: -2 }],
  ['sac', { preset: 'sac', critic: { architecture: 'resnet-features', trunkSizes: [8] } }],
  ['maml', {}],
  ['maml', { policy: 'maml', hiddenSizes: [8], inner: { order: 'first' } }],
  ['maml', { policy: 'multi-task-hyper', hyper: { trunkSizes: [8], initialisation: 'hfi' } }],
  ['pearl', {}],
  ['pearl', { agent: 'pearl', hiddenSizes: [8], encoder: { architecture: 'pearl-gru-encoder' } }],
  ['pearl', { agent: 'no-context' }],
  ['pearl', { agent: 'oracle-context', networks: 'mlp', contextUnits: 'raw' }],
])('%s with %j uses all of it', async (name, settings) => {
  expect(await linesOf(name, settings)).toEqual([]);
});

test.each<[string, object, string[]]>([
  [
    'td3',
    {
      critic: { architecture: 'mlp-small', trunkSizes: [8], initialisation: 'hfi', headRank: 4 },
      hyperPolicy: { trunkSizes: [8], initialisation: 'hfi', headRank: 4 },
    },
    [
      'critic "mlp-small" does not use --trunk (critic.trunkSizes)',
      'critic "mlp-small" does not use --init (critic.initialisation)',
      'critic "mlp-small" does not use critic.headRank',
      'policy "mlp" does not use --policy-trunk (hyperPolicy.trunkSizes)',
      'policy "mlp" does not use --policy-init (hyperPolicy.initialisation)',
      'policy "mlp" does not use hyperPolicy.headRank',
    ],
  ],
  [
    'td3',
    { contextUnits: 'raw', critic: { architecture: 'sa-hyper', hiddenSizes: [8] } },
    [
      'critic "sa-hyper" does not use critic.hiddenSizes',
      'an environment without tasks does not use --context-units (contextUnits)',
    ],
  ],
  [
    'sac',
    { policy: 'hyper', actorHiddenSizes: [8], targetEntropy: -2 },
    [
      'policy "hyper" does not use --actor-hidden (actorHiddenSizes)',
      'a fixed temperature does not use --target-entropy (targetEntropy)',
    ],
  ],
  [
    'maml',
    { policy: 'maml', hyper: { trunkSizes: [8], initialisation: 'hfi' }, contextUnits: 'raw' },
    [
      'policy "maml" does not use --trunk (hyper.trunkSizes)',
      'policy "maml" does not use --init (hyper.initialisation)',
      'policy "maml" does not use --context-units (contextUnits)',
    ],
  ],
  [
    'maml',
    { policy: 'multi-task-hyper', hiddenSizes: [8], inner: { order: 'first' }, rate: { start: 0.5 } },
    [
      'policy "multi-task-hyper" does not use --hidden (hiddenSizes)',
      'policy "multi-task-hyper" does not use --order (inner.order)',
      'policy "multi-task-hyper" does not use --inner-lr (rate.start)',
    ],
  ],
  [
    'pearl',
    { agent: 'pearl', hyper: { trunkSizes: [8], dynamicHiddenSizes: [4] }, contextUnits: 'raw' },
    [
      'agent "pearl" does not use --context-units (contextUnits)',
      'networks "mlp" does not use --trunk (hyper.trunkSizes)',
      'networks "mlp" does not use --dynamic-hidden (hyper.dynamicHiddenSizes)',
    ],
  ],
  [
    'pearl',
    {
      agent: 'oracle-context',
      encoder: { architecture: 'pearl-gru-encoder' },
      latentSize: 7,
      hiddenSizes: [8],
      explorationEpisodeCount: 3,
    },
    [
      'agent "oracle-context" does not use --encoder (encoder.architecture)',
      'agent "oracle-context" does not use --latent (latentSize)',
      'agent "oracle-context" does not use --explore-episodes (explorationEpisodeCount)',
      'networks "hyper" does not use --hidden (hiddenSizes)',
    ],
  ],
])('%s with %j does not', async (name, settings, lines) => {
  expect(await linesOf(name, settings)).toEqual(lines);
});

test.each<[string, object, object, RegExp[]]>([
  ['td3', {}, { stepCount: 1001 }, []],
  ['td3', {}, { stepCount: 1000 }, [/^nothing is learnt in 1000 steps: the first update comes at step 1001, /]],
  // The run ends with whole steps of all 16, at 1008.
  ['sac', {}, { stepCount: 1001, warmUpStepCount: 1005, environmentCount: 16 }, []],
  // An update of every four steps: the first after 1000 + 4; runs of 50 updates at one a step: after 1000 + 50.
  [
    'sac',
    {},
    { stepCount: 1003, updatesPerStep: 0.25 },
    [/first update comes at step 1004, after a warm-up of 1000\. /],
  ],
  ['td3', {}, { stepCount: 1049, updatesPerRun: 50 }, [/first update comes at step 1050, /]],
  ['td3', { batchSize: 100 }, { replayCapacity: 100 }, []],
  [
    'td3',
    { batchSize: 101 },
    { replayCapacity: 100 },
    [/^--batch-size 101 is more than --replay-capacity 100 can hold/],
  ],
  [
    'pearl',
    { batchSize: 9, replayCapacity: 8, contextBatchSize: 7, contextCapacity: 6 },
    {},
    [/^--batch-size 9 is more than --replay-capacity 8 /, /^--context-batch 7 is more than --context-capacity 6 /],
  ],
  ['pearl', { agent: 'no-context', contextBatchSize: 7, contextCapacity: 6 }, {}, []],
])('%s with %j and the loop %j is warned of what teaches little', async (name, settings, loop, lines) => {
  const algorithm = await loadAlgorithm(name);
  const given = { environment: 'Point-Robot', threadCount: 1, algorithm: { name, ...settings }, loop };
  const warnings = algorithm.warnings!(completeConfig(algorithm, given));
  expect(warnings).toEqual(lines.map((line) => expect.stringMatching(line)));
});
