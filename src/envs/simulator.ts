/**
 * The MuJoCo adapter: compiles a model, steps it, and shows the simulator's memory as typed arrays made once. One WASM
 * module per thread; simulators of the same model share its compiled form. Knows nothing of tasks.
 *
 * Trap: WASM memory that grows detaches every array made before. It grows only when a model or its data is created, so
 * `refresh` once at the start of a call is enough.
 */

import loadMujoco, { type MainModule, type MjData, type MjModel } from 'mujoco-js';
import { invalidArgument } from '../contract/errors.ts';

/** Per-thread module with what it last warned of. */
type Mujoco = { readonly module: MainModule; warning: string | undefined };

let loading: Promise<Mujoco> | undefined;

/** Compiled models by their text, with the number of simulators that use them. */
const compiled = new Map<string, { readonly model: MjModel; userCount: number }>();

function mujoco(): Promise<Mujoco> {
  loading ??= (async () => {
    const state: { warning: string | undefined } = { warning: undefined };
    const note = (line: string) => {
      if (line !== '') state.warning = line;
    };
    const module = await loadMujoco({ print: note, printErr: note });
    return Object.assign(state, { module });
  })();
  return loading;
}

/**
 * Compiles a model and allocates its state, at the model's reference pose.
 * @param options.ownModel a compiled model of its own, whose fields may be changed
 * @throws HyperpolicyError invalid_argument if the model does not compile
 */
export async function openSimulator(mjcf: string, { ownModel = false } = {}): Promise<Simulator> {
  const instance = await mujoco();
  if (ownModel) {
    const model = compile(instance, mjcf);
    return new Simulator(instance, model, () => model.delete());
  }
  let shared = compiled.get(mjcf);
  if (shared === undefined) {
    shared = { model: compile(instance, mjcf), userCount: 0 };
    compiled.set(mjcf, shared);
  }
  shared.userCount++;
  return new Simulator(instance, shared.model, () => {
    if (--shared.userCount > 0) return;
    compiled.delete(mjcf);
    shared.model.delete();
  });
}

function compile(instance: Mujoco, mjcf: string): MjModel {
  const { FS, MjModel: models } = instance.module;
  const path = '/model.xml';
  FS.writeFile(path, mjcf, {});
  instance.warning = undefined;
  try {
    const model = models.loadFromXML(path);
    if (model === null) throw new Error('no model');
    return model;
  } catch (cause) {
    throw invalidArgument({
      where: 'MuJoCo model',
      expected: 'MJCF that compiles',
      actual: instance.warning ?? String((cause as Error).message ?? cause),
      cause,
    });
  } finally {
    FS.unlink(path);
  }
}

/** A geom of a model; `type` and `size` as MuJoCo has them. */
export type Geom = {
  readonly name: string;
  readonly type: number;
  readonly size: readonly number[];
  readonly rgba: readonly number[];
};

/** MuJoCo's number for "geom" among its kinds of objects. */
const geomObject = 5;

/** One simulated world. Its arrays are views into simulator memory; call `refresh` before using them in a new turn. */
export class Simulator {
  /** Generalised positions, [nq]. */
  qpos!: Float64Array;
  /** Generalised velocities, [nv]. */
  qvel!: Float64Array;
  /** Actuator activations, [na]. */
  act!: Float64Array;
  /** Accelerations that the constraint solver starts from, [nv]. */
  qaccWarmstart!: Float64Array;
  /** Controls, [nu]. */
  ctrl!: Float64Array;
  /** Positions of the body frames, [nbody * 3], metres. As of the last physics step's start. */
  xpos!: Float64Array;
  /** External contact force and torque on each body, [nbody * 6]; computed by `computeContactForces`. */
  cfrcExt!: Float64Array;
  readonly model: MjModel;
  readonly #instance: Mujoco;
  readonly #data: MjData;
  readonly #release: () => void;
  #beside: MjData | undefined;

  constructor(instance: Mujoco, model: MjModel, release: () => void) {
    this.#instance = instance;
    this.model = model;
    this.#data = new instance.module.MjData(model);
    this.#release = release;
    this.#makeViews();
  }

  /** Makes the arrays anew if memory has grown. */
  refresh(): void {
    if (this.qpos.byteLength === 0) this.#makeViews();
  }

  #makeViews(): void {
    const data = this.#data;
    this.qpos = data.qpos;
    this.qvel = data.qvel;
    this.act = data.act;
    this.qaccWarmstart = data.qacc_warmstart;
    this.ctrl = data.ctrl;
    this.xpos = data.xpos;
    this.cfrcExt = data.cfrc_ext;
  }

  /** Simulated time since the start of the episode, seconds. */
  get time(): number {
    return this.#data.time;
  }

  set time(seconds: number) {
    this.#data.time = seconds;
  }

  /** The simulator's own record of the current state, for readers that need more than the views. Not for the step path. */
  get data(): MjData {
    return this.#data;
  }

  /** Everything to the reference pose, at rest, time 0. */
  rewind(): void {
    this.#instance.module.mj_resetData(this.model, this.#data);
  }

  /** Computes all that follows from positions and velocities, without a step. */
  forward(): void {
    this.#instance.module.mj_forward(this.model, this.#data);
  }

  /**
   * Physics steps under the current controls.
   * @returns false if the state became unstable (MuJoCo then resets itself)
   */
  advance(physicsStepCount: number): boolean {
    const instance = this.#instance;
    const { module } = instance;
    const { model } = this;
    const data = this.#data;
    instance.warning = undefined;
    for (let i = 0; i < physicsStepCount; i++) module.mj_step(model, data);
    return instance.warning === undefined;
  }

  /** The geoms of the model. */
  get geoms(): readonly Geom[] {
    const { model } = this;
    return Array.from({ length: model.ngeom }, (_, i) => ({
      name: this.#instance.module.mj_id2name(model, geomObject, i),
      type: model.geom_type[i] as number,
      size: Array.from(model.geom_size.subarray(3 * i, 3 * i + 3) as Float64Array),
      rgba: Array.from(model.geom_rgba.subarray(4 * i, 4 * i + 4) as Float32Array),
    }));
  }

  /** Where the geoms are for the current coordinates. Computed beside the state, as the state's own positions lag. */
  geomPoses(): { readonly positions: Float64Array; readonly matrices: Float64Array } {
    const { module } = this.#instance;
    this.#beside ??= new module.MjData(this.model);
    this.refresh();
    const beside = this.#beside;
    (beside.qpos as Float64Array).set(this.qpos);
    module.mj_kinematics(this.model, beside);
    return { positions: beside.geom_xpos, matrices: beside.geom_xmat };
  }

  /** Recomputes what the model's masses, inertias and sizes imply, after a change of its fields. Resets the state. */
  refreshModel(): void {
    this.#instance.module.mj_setConst(this.model, this.#data);
  }

  /** Computes `cfrcExt` for the last physics step. */
  computeContactForces(): void {
    this.#instance.module.mj_rnePostConstraint(this.model, this.#data);
  }

  dispose(): void {
    this.#data.delete();
    this.#beside?.delete();
    this.#release();
  }
}

/** The arrays that decide a simulator's future, copied. */
export function captureSimulator(simulator: Simulator): Record<string, Float64Array> {
  simulator.refresh();
  return {
    time: Float64Array.of(simulator.time),
    qpos: simulator.qpos.slice(),
    qvel: simulator.qvel.slice(),
    act: simulator.act.slice(),
    qaccWarmstart: simulator.qaccWarmstart.slice(),
    // Lags qpos by one physics step, and Ant's velocity is measured from it.
    xpos: simulator.xpos.slice(),
  };
}

/** Copies all of `values` into `row` from place `at` on. A loop, as `set` costs more for a few numbers. @returns the place after */
function put(values: Float64Array, row: Float64Array, at: number): number {
  for (let i = 0; i < values.length; i++) row[at + i] = values[i]!;
  return at + values.length;
}

/** The other way round. */
function take(values: Float64Array, row: Float64Array, at: number): number {
  for (let i = 0; i < values.length; i++) values[i] = row[at + i]!;
  return at + values.length;
}

/** The same arrays one after the other, without allocations: a task's state row. */
export function simulatorStateRow(simulator: Simulator): {
  readonly size: number;
  write(out: Float64Array, at: number): void;
  read(row: Float64Array, at: number): void;
} {
  const { qpos, qvel, act, qaccWarmstart, xpos } = simulator;
  return {
    size: [qpos, qvel, act, qaccWarmstart, xpos].reduce((sum, { length }) => sum + length, 1),
    write(out, at) {
      simulator.refresh();
      out[at] = simulator.time;
      let next = put(simulator.qpos, out, at + 1);
      next = put(simulator.qvel, out, next);
      next = put(simulator.act, out, next);
      next = put(simulator.qaccWarmstart, out, next);
      put(simulator.xpos, out, next);
    },
    read(row, at) {
      simulator.refresh();
      simulator.time = row[at]!;
      let next = take(simulator.qpos, row, at + 1);
      next = take(simulator.qvel, row, next);
      next = take(simulator.act, row, next);
      next = take(simulator.qaccWarmstart, row, next);
      take(simulator.xpos, row, next);
    },
  };
}

/** Takes back what `captureSimulator` gave. */
export function reinstateSimulator(simulator: Simulator, arrays: Readonly<Record<string, Float64Array>>): void {
  simulator.refresh();
  simulator.rewind();
  simulator.time = arrays.time![0]!;
  simulator.qpos.set(arrays.qpos!);
  simulator.qvel.set(arrays.qvel!);
  simulator.act.set(arrays.act!);
  simulator.qaccWarmstart.set(arrays.qaccWarmstart!);
  simulator.xpos.set(arrays.xpos!);
}
