/** The physics of a recorded run alone: the same controls, physics steps and resets on mujoco-js, without an environment. */

import loadMujoco from 'mujoco-js';
import { specSize } from '../../src/contract/tensor-spec.ts';
import type { Env } from '../../src/envs/env.ts';

export type RecordedRun = {
  /** One [A] per step. */
  readonly actions: readonly Float32Array[];
  /** State that each episode starts from. */
  readonly starts: readonly { readonly qpos: Float64Array; readonly qvel: Float64Array }[];
  /** True for the steps that end an episode. */
  readonly ends: readonly boolean[];
};

/** Steps an environment through a sequence [T, N, A] with the first environment's actions; episode e has seed e. */
export function recordRun(env: Env, sequence: Float32Array, environmentCount: number): RecordedRun {
  const size = specSize(env.specs.action);
  const stride = environmentCount * size;
  const actions = Array.from({ length: sequence.length / stride }, (_, t) =>
    sequence.slice(t * stride, t * stride + size),
  );
  const starts: { qpos: Float64Array; qvel: Float64Array }[] = [];
  const begin = () => {
    env.reset(starts.length);
    const { qpos, qvel } = env.save().arrays;
    starts.push({ qpos: qpos!, qvel: qvel! });
  };
  begin();
  const ends = actions.map((action) => {
    const { terminated, truncated } = env.step(action);
    if (terminated || truncated) begin();
    return terminated || truncated;
  });
  return { actions, starts, ends };
}

/** A run on a module of its own. */
export async function createRawRun(
  mjcf: string,
  physicsStepCount: number,
  { actions, starts, ends }: RecordedRun,
): Promise<{ readonly pass: () => void; readonly dispose: () => void }> {
  const module = await loadMujoco();
  module.FS.writeFile('/raw.xml', mjcf, {});
  const model = module.MjModel.loadFromXML('/raw.xml');
  const data = new module.MjData(model);
  const { qpos, qvel, ctrl } = data;
  const begin = (episode: number) => {
    module.mj_resetData(model, data);
    qpos.set(starts[episode]!.qpos);
    qvel.set(starts[episode]!.qvel);
    module.mj_forward(model, data);
  };
  return {
    pass() {
      let episode = 0;
      begin(episode);
      for (let t = 0; t < actions.length; t++) {
        ctrl.set(actions[t]!);
        for (let i = 0; i < physicsStepCount; i++) module.mj_step(model, data);
        if (ends[t]) begin(++episode);
      }
    },
    dispose() {
      data.delete();
      model.delete();
    },
  };
}
