/** What `hyperpolicy/environments` exports: environments by name, and the contract that one of your own keeps. */

export type { ContextSpec, PolicySpecs, TensorSpec } from '../contract/tensor-spec.ts';
export type { Env, EnvState, ResetOptions, ResetResult, StepInfo, StepResult } from './env.ts';
export { createEnv, type Outcome, type Task } from './episode.ts';
export { createEnvironment, environmentNames } from './registry.ts';
export type { TaskDistribution } from './task-distribution.ts';
