/** What `hyperpolicy/robot` exports: a control loop at a fixed rate over a stream of the TypeScript client. */

export { type Clock, systemClock } from './clock.ts';
export { type Answer, type Commander, type CommanderOptions, type CommandMode, createCommander } from './commander.ts';
export {
  type Controller,
  type ControllerOptions,
  createController,
  type Observed,
  type RunOptions,
} from './controller.ts';
export type { Cycle, CycleSummary } from './cycle-log.ts';
