/** The model manifest: what a package holds and where it came from. Reading and publishing packages is in package.ts. */

import { z } from 'zod';
import { atMost, numbers, parseBounded } from '../contract/bounded.ts';
import { checkSpecBounds } from '../contract/bounds.ts';
import { invalidArgument } from '../contract/errors.ts';
import { contextSpecSchema, fingerprint, tensorSpecSchema } from '../contract/tensor-spec.ts';

/** `major.minor`. A reader refuses an unknown major; a minor only adds fields. */
export const manifestFormat = '1.0';

/** The largest version: messages carry 32 bits. */
export const versionMax = 2 ** 32 - 1;

/** Inputs or outputs of a graph. */
const tensorCountMax = 256;
const dimensionCountMax = 16;
const probeCountMax = 64;
/** The trainer writes a few thousand at most. */
const evaluationCountMax = 2 ** 15;
/** Lists, objects and fields of the whole: six for each evaluation, and some thousand. */
const partCountMax = 2 ** 18;

/** Of a file in a package: a plain name, no path. */
export const fileNamePattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

const graphTensorSchema = z.object({
  name: z.string().min(1),
  dtype: z.enum(['float32', 'int64']),
  /** Sizes; a string is a symbolic dimension (`B` rows, `K` contexts). */
  shape: atMost(dimensionCountMax, z.array(z.union([z.number().int().nonnegative(), z.string().min(1)]))),
});

const graphSchema = z.object({
  /** File name inside the package. */
  file: z.string().regex(fileNamePattern),
  inputs: atMost(tensorCountMax, z.array(graphTensorSchema)),
  outputs: atMost(tensorCountMax, z.array(graphTensorSchema)),
});

/** `plain`: one graph. `hyper`: a primary that generates weights per context, and a dynamic network that uses them. */
const plainSchema = z.object({ kind: z.literal('plain'), graph: graphSchema });
const hyperSchema = z.object({ kind: z.literal('hyper'), primary: graphSchema, dynamic: graphSchema });

const policySchema = z.intersection(
  z.discriminatedUnion('kind', [plainSchema, hyperSchema]),
  z.object({
    /** Architecture name, e.g. `mlp` or `hyper`. */
    architecture: z.string().min(1),
    /** True if the graph takes `noise` and gives `log_prob`. */
    stochastic: z.boolean(),
  }),
);

const criticSchema = z.intersection(
  z.discriminatedUnion('kind', [plainSchema, hyperSchema]),
  z.object({
    /** Architecture name, e.g. `sa-hyper`. */
    architecture: z.string().min(1),
    /** Q: how many value functions the graph evaluates. */
    ensembleSize: z.union([z.literal(1), z.literal(2)]),
  }),
);

/**
 * An encoder: what each transition says of the latent context. For N transitions `observation` [N, O], `action` [N, A], `reward` [N]
 * and, where it is read, `next_observation` [N, O] (environment units) -> `encoderOutputs` of src/posterior/latent-knowledge.ts:
 *
 * - `product`: `precision` [N, C] and `weighted_mean` [N, C], the precision times the mean of each transition's Gaussian factor; they
 *   are added up, in any order and any number of calls.
 * - `mean`: `mean` and `spread` [N, C], whose means make one Gaussian.
 * - `recurrent`: `mean` and `variance` [N, C] after each transition and `next_memory` [N, M], from `memory` [N, M] before it; the N are of
 *   different tasks.
 *
 * Source: Rakelly et al. 2019 (PEARL), sections 4.1 and 6.2.
 */
const encoderSchema = graphSchema.extend({
  /**
   * N(0, I) is what is known without transitions. `start`: they take its place, as published. `factor`: it is one more factor of
   * the product.
   */
  prior: z.enum(['start', 'factor']),
  /** `product` if absent. */
  aggregation: z.enum(['product', 'mean', 'recurrent']).optional(),
});

/**
 * Policy-gradient steps for one context. `observation` [N, O], `action` [N, A] (environment units), `coefficient` [N] and what the
 * steps start from -> `adapted_<name>` for each of the primary's outputs, [1, ...]. Coefficients are those of policy-gradient.ts.
 *
 * - from `weights`: one step on the weights w that the primary generates, each [1, ...] under its name in the primary's outputs:
 *   w + step size x sum over n of coefficient[n] x d log pi(action[n] | observation[n]; w) / dw. May be repeated.
 * - from `parameters`: all inner steps on the policy's own parameters, which are inside as the learning rates are; `context` [1, C] where
 *   the model has one. The results are the weights that the primary would generate with the adapted parameters.
 *
 * Source: Finn et al. 2017 (MAML), algorithm 3.
 */
const adaptSchema = graphSchema.extend({
  /** `weights` if absent. */
  from: z.enum(['weights', 'parameters']).optional(),
  /** Of rewards, in [0, 1]. */
  discount: z.number().min(0).max(1),
  /** Of generalised advantage estimation, in [0, 1]. */
  lambda: z.number().min(0).max(1),
  /** Whether every step or every episode has the same weight; `episodes` if absent. */
  weighting: z.enum(['steps', 'episodes']).optional(),
});

/** Inputs with the outputs that the trainer computed; tensors as row-major numbers. */
const probeTensorSchema = z.object({
  shape: atMost(dimensionCountMax, z.array(z.number().int().nonnegative())),
  values: numbers(),
});
const probeTensorsSchema = z.record(z.string(), probeTensorSchema);
const probeSchema = z.object({
  /** A probe of `adapt` has `context` [1, C] among its inputs in place of the weights, which the primary generates. */
  target: z.enum(['policy', 'critic', 'encoder', 'adapt']),
  inputs: probeTensorsSchema,
  outputs: probeTensorsSchema,
  /** Largest |difference| / (1 + |expected|) that still counts as equal; allows for another processor's rounding, not for other weights. */
  tolerance: z.number().positive().max(0.01),
});

const evaluationSchema = z.object({
  step: z.number().int().nonnegative(),
  meanReturn: z.number(),
  standardDeviation: z.number().nonnegative(),
  episodeCount: z.number().int().positive(),
  /** Of a policy that adapts: the same before adaptation, on as many episodes. */
  before: z.object({ meanReturn: z.number(), standardDeviation: z.number().nonnegative() }).exactOptional(),
});

const manifestSchema = z.object({
  format: z.string().regex(/^\d+\.\d+$/),
  model: z.string(),
  version: z.number().int().positive().max(versionMax),
  algorithm: z.string().min(1),
  environment: z.string().min(1),
  observation: tensorSpecSchema,
  action: z.intersection(
    tensorSpecSchema,
    z.object({
      /** The action of the `safe` fallback; zero clipped to the bounds if absent. */
      safe: numbers().optional(),
    }),
  ),
  context: contextSpecSchema.nullable(),
  /** Of observation, action and context; see tensor-spec.ts. */
  fingerprint: z.string(),
  /** Training reward = scale x environment reward; q is in training-reward units. */
  rewardScale: z.number(),
  /** Constants that are already inside the graphs, for readers: e.g. `context.low`. */
  normalisation: z.record(z.string(), numbers()),
  policy: policySchema.nullable(),
  critic: criticSchema.nullable(),
  /** At most one of the two. An encoder belongs to a latent context; `adapt` to a hyper policy that is stochastic. */
  encoder: encoderSchema.nullable(),
  adapt: adaptSchema.nullable(),
  files: z.record(
    z.string(),
    z.object({ bytes: z.number().int().nonnegative(), sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  ),
  training: z.object({
    config: z.record(z.string(), z.unknown()),
    seed: z.number().int().nonnegative(),
    /** Of the environment, or iterations where the algorithm counts those. */
    steps: z.number().int().nonnegative(),
    /**
     * Of the run, in order, those with finite returns. The trainer leaves some out where there are more than 4096: then these are every nth,
     * the best and the last, while the figures below are of the whole run.
     */
    evaluations: atMost(evaluationCountMax, z.array(evaluationSchema)),
    /** Mean return of the evaluation that chose this policy among those of its run. The choice makes it too high. */
    bestEvaluationReturn: z.number().optional(),
    /** Mean return of the run's last evaluation, which nothing chose: beside the best one, as that is biased upwards. */
    lastEvaluationReturn: z.number().optional(),
    /** Mean return of the published policy on fresh episodes, which had no part in the choice: the return to expect. */
    freshReturn: z.number().optional(),
    /** Standard deviation of those episodes' returns, and how many they were. */
    freshStandardDeviation: z.number().nonnegative().optional(),
    freshEpisodeCount: z.number().int().positive().optional(),
    /** Of a policy that adapts: episodes of a task by which the evaluations adapted it before they scored it. */
    adaptationEpisodeCount: z.number().int().nonnegative().optional(),
    /** Of each value of the training tasks, where the run was given a range of them in place of the environment's. */
    taskRange: z
      .object({ low: numbers(), high: numbers() })
      .refine(
        ({ low, high }) => low.length === high.length && low.every((value, i) => value < high[i]!),
        'expected as many low as high values, each low one below its high one',
      )
      .optional(),
    /**
     * Version-control revision of the trainer's checkout when it published; with `-dirty` where tracked files differed from it, `-unchecked` where
     * git did not say in time whether they did. Or `unknown`.
     */
    sourceRevision: z.string(),
    /** ISO 8601 with seconds and `Z` or an offset: the age of weights is counted from it. */
    publishedAt: z.iso.datetime({ offset: true }),
  }),
  probes: atMost(probeCountMax, z.array(probeSchema).min(1)),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type Graph = z.infer<typeof graphSchema>;
export type GraphTensor = z.infer<typeof graphTensorSchema>;
export type Probe = z.infer<typeof probeSchema>;
export type ProbeTensor = z.infer<typeof probeTensorSchema>;
export type Evaluation = z.infer<typeof evaluationSchema>;

/** The environment of a model's training, and the range of its tasks where its run was given one. */
export const trainedIn = ({ model, environment, training: { taskRange } }: Manifest) => ({
  model,
  environment,
  taskRange,
});

/** Every graph of a manifest. */
export function graphsOf(manifest: Manifest): Graph[] {
  const ofNetwork = (network: Manifest['policy'] | Manifest['critic']): Graph[] => {
    if (network === null) return [];
    return network.kind === 'plain' ? [network.graph] : [network.primary, network.dynamic];
  };
  return [...ofNetwork(manifest.policy), ...ofNetwork(manifest.critic), manifest.encoder, manifest.adapt].filter(
    (graph) => graph !== null,
  );
}

/**
 * Checks the JSON text of a manifest.
 * @throws HyperpolicyError invalid_argument: not JSON, an unknown major, a field that is missing or of another type,
 *   bounds that cannot be, a fingerprint that is not that of the specs, a graph whose file is not listed, an encoder or `adapt` that the policy cannot have
 */
export function parseManifest(text: string): Manifest {
  let json: unknown;
  try {
    json = parseBounded(text, partCountMax);
  } catch (cause) {
    throw invalidArgument({
      where: 'manifest.json',
      expected: 'JSON',
      actual: `text that does not parse (${(cause as Error).message})`,
      cause,
    });
  }
  refuseUnknownMajor(json);
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw invalidArgument({
      where: 'manifest.json',
      expected: issue.path.length === 0 ? 'an object' : `a valid "${issue.path.join('.').slice(0, 200)}"`,
      actual: issue.message,
    });
  }
  const manifest = parsed.data;
  checkSpecBounds('manifest.json', manifest);
  const expected = fingerprint(manifest);
  if (manifest.fingerprint !== expected) {
    throw invalidArgument({
      where: 'manifest.json',
      expected: `fingerprint ${expected}`,
      actual: manifest.fingerprint,
    });
  }
  for (const { file } of graphsOf(manifest)) {
    if (!Object.hasOwn(manifest.files, file)) {
      throw invalidArgument({
        where: 'manifest.json',
        expected: `graph file "${file}" among files`,
        actual: Object.keys(manifest.files).join(', ') || 'no files',
      });
    }
  }
  checkAdaptation(manifest);
  return manifest;
}

function checkAdaptation({ encoder, adapt, context, policy }: Manifest): void {
  const refuse = (expected: string, actual: string) => invalidArgument({ where: 'manifest.json', expected, actual });
  if (encoder !== null && adapt !== null) throw refuse('an encoder or adapt', 'both');
  if (encoder !== null && context?.source !== 'latent') {
    throw refuse('a latent context with an encoder', context === null ? 'none' : `one that is ${context.source}`);
  }
  if (adapt !== null && !(policy?.kind === 'hyper' && policy.stochastic)) {
    throw refuse(
      'a stochastic hyper policy with adapt',
      policy === null ? 'none' : `a ${policy.stochastic ? 'stochastic' : 'deterministic'} ${policy.kind} one`,
    );
  }
}

function refuseUnknownMajor(json: unknown): void {
  const format = (json as { format?: unknown } | null)?.format;
  const major = manifestFormat.split('.')[0];
  if (typeof format === 'string' && format.split('.')[0] !== major) {
    throw invalidArgument({
      where: 'manifest.json',
      expected: `format ${major}.x`,
      actual: format,
      remedy: 'Read it with the release that wrote it',
    });
  }
}
