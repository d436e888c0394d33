/** One network's flat parameters with all that trains them: gradients, Adam and, where wanted, a target copy. One arena each. */

import { type Adam, createAdam } from './adam.ts';
import { aligned, createArena } from './arena.ts';
import { createLayout, type Layout, type Stacks, stackViewsOf, viewsOf } from './layout.ts';
import { polyak } from './polyak.ts';

type Views = Readonly<Record<string, Float32Array>>;

export type TrainableOptions = {
  /** Name -> shape of each parameter. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** Parameters to lie beside each other, see {@link Trainable.stacked}; none unless given. */
  readonly stacks?: Stacks | undefined;
  readonly learningRate: number;
  /** Whether to keep a target copy for {@link Trainable.followTarget}. */
  readonly target: boolean;
};

/** The arrays of all parameters, by name. */
export type TrainableViews = {
  readonly parameters: Views;
  /** Where a computation writes gradients. */
  readonly gradients: Views;
  /** Adam's. */
  readonly moment1: Views;
  readonly moment2: Views;
  /** The target copy; empty without one. */
  readonly target: Views;
};

export type Trainable = TrainableViews & {
  readonly layout: Layout;
  /** All parameters in one array. */
  readonly flat: Float32Array;
  /** The same arrays by the names of the stacks; empty without stacks. */
  readonly stacked: TrainableViews;
  readonly adam: Adam;
  /** target = parameters. */
  copyToTarget(): void;
  /** target += tau (parameters - target). */
  followTarget(tau: number): void;
  /** Everything that a resumed run needs, as views. */
  arrays(): Record<string, Float32Array>;
};

export function createTrainable({ shapes, stacks = {}, learningRate, target }: TrainableOptions): Trainable {
  const layout = createLayout(shapes, stacks);
  const arrayCount = target ? 5 : 4;
  const arena = createArena(arrayCount * aligned(layout.length));
  const flat = arena.allocate(layout.length);
  const gradients = arena.allocate(layout.length);
  const adam = createAdam({ arena, parameters: flat, gradients, learningRate });
  const copy = target ? arena.allocate(layout.length) : undefined;
  const cut = (view: (data: Float32Array) => Views): TrainableViews => ({
    parameters: view(flat),
    gradients: view(gradients),
    moment1: view(adam.moment1),
    moment2: view(adam.moment2),
    target: copy === undefined ? {} : view(copy),
  });
  return {
    layout,
    flat,
    ...cut((data) => viewsOf(layout, data)),
    stacked: cut((data) => stackViewsOf(layout, stacks, data)),
    adam,
    copyToTarget() {
      copy?.set(flat);
    },
    followTarget(tau) {
      if (copy !== undefined) polyak({ arena, target: copy, source: flat, tau });
    },
    arrays() {
      const own = { parameters: flat, moment1: adam.moment1, moment2: adam.moment2 };
      return copy === undefined ? own : { ...own, target: copy };
    },
  };
}
