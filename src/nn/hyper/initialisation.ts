/**
 * Initialisation schemes of a hypernetwork. A head is vec(W) = A h + c with h the trunk's embedding of d_h values; d_in is
 * the number of inputs of the dynamic layer. Where a scheme speaks only of heads, the trunk is initialised as in `hyperl`.
 */

import { mapValues } from '../../contract/records.ts';
import '../cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import type { Random } from '../../contract/random.ts';
import {
  defaultLinear,
  hyperlTrunk,
  kaimingUniform,
  type LinearInitialisers,
  uniform,
  zeros,
} from '../initialisers.ts';
import type { hyperInitialisations } from '../names.ts';
import { type Drawn, type ParameterSpecs, under } from '../parameters.ts';
import type { HeadInitialisers } from './head.ts';
import { primary } from './primary.ts';

export type HyperInitialisation = (typeof hyperInitialisations)[number];

/** A dynamic layer's place: `first` also stands for every hidden layer, `last` gives the output, `log-std` beside it. */
export type LayerRole = 'first' | 'last' | 'log-std';

/** Bounds of the uniform head weights in the `hyperl` scheme. Source: Sarafian et al. 2021, released code. */
const hyperlHeadBounds: Readonly<Record<LayerRole, number>> = { first: 0.05, last: 0.008, 'log-std': 0.001 };

type HeadSizes = { readonly embeddingSize: number; readonly inputSize: number; readonly role: LayerRole };

const off: LinearInitialisers = { weight: zeros, bias: zeros };

const heads: Readonly<Record<HyperInitialisation, (sizes: HeadSizes) => HeadInitialisers>> = {
  /** A ~ U(+-bound) for weights, gains and biases alike; c = 0. Source: Sarafian et al. 2021, released code. */
  hyperl: ({ role }) => {
    const all = { weight: uniform(hyperlHeadBounds[role]), bias: zeros };
    return { weight: all, gain: all, bias: all };
  },
  /** A and c ~ U(+-1/sqrt(d_h)), as the framework initialises any linear layer. */
  default: ({ embeddingSize }) => {
    const all = defaultLinear(embeddingSize);
    return { weight: all, gain: all, bias: all };
  },
  /** A = 0 and c = a Kaiming-uniform dynamic layer: every context starts with the same standard network. Source: Beck et al. 2022. */
  'bias-hyperinit': ({ inputSize }) => ({
    weight: { weight: zeros, bias: kaimingUniform(inputSize) },
    gain: off,
    bias: off,
  }),
  /** c = 0 and each column of A an independent Kaiming-uniform dynamic layer. Source: Beck et al. 2022. */
  'weight-hyperinit': ({ inputSize }) => ({
    weight: { weight: kaimingUniform(inputSize), bias: zeros },
    gain: off,
    bias: off,
  }),
  /**
   * Hyperfan-in: A ~ U(+-gain sqrt(3 v)), v = 1 / (2 d_h d_in E[h^2]) for weights and 1 / (2 d_h E[h^2]) for biases; c = 0; gain
   * sqrt 2 before a ReLU and 1 at the output. {@link withEmbeddingPower} divides by the measured E[h^2]. With inputs of unit
   * power every layer passes unit power on. Source: Chang et al. 2020.
   */
  hfi: ({ embeddingSize, inputSize, role }) => {
    const gain = role === 'first' ? Math.SQRT2 : 1;
    const head = (fanIn: number) => ({
      weight: uniform(gain * Math.sqrt(3 / (2 * embeddingSize * fanIn))),
      bias: zeros,
    });
    return { weight: head(inputSize), gain: off, bias: head(1) };
  },
};

export const headInitialisers = (scheme: HyperInitialisation, sizes: HeadSizes): HeadInitialisers =>
  heads[scheme](sizes);

/** Of a trunk's linear layer. */
export const trunkInitialisers = (scheme: HyperInitialisation): ((fanIn: number) => LinearInitialisers) =>
  scheme === 'default' ? defaultLinear : hyperlTrunk;

/** Metas over which E[h^2] is measured. */
const metaCount = 64;

/** Divides v of `hfi` by E[h^2] of the trunk that was drawn: when the last parameter is drawn, every head's A is scaled. */
export function withEmbeddingPower(specs: ParameterSpecs, metaSize: number, stageCount: number): ParameterSpecs {
  const names = Object.keys(specs);
  const last = names.at(-1)!;
  const { shape, initialise } = specs[last]!;
  return {
    ...specs,
    [last]: {
      shape,
      initialise: (out, random, drawn) => {
        initialise(out, random, drawn);
        const factor = 1 / Math.sqrt(embeddingPower({ specs, metaSize, stageCount }, drawn, random));
        for (const name of names.filter((other) => /^head\d+\.\w+\.weight$/.test(other))) {
          const values = drawn(name);
          for (let i = 0; i < values.length; i++) values[i]! *= factor;
        }
      },
    },
  };
}

type Trunk = { readonly specs: ParameterSpecs; readonly metaSize: number; readonly stageCount: number };

/** E[h^2] over unit-normal metas, on tfjs's own `cpu` backend. */
function embeddingPower({ specs, metaSize, stageCount }: Trunk, drawn: Drawn, random: Random): number {
  const previous = tf.getBackend() as string | undefined;
  void tf.setBackend('cpu');
  try {
    return tf.tidy(() => {
      const parameters = mapValues(under('primary', specs), ({ shape }, name) =>
        tf.tensor(drawn(`primary.${name}`), [...shape]),
      );
      const metas = tf.tensor2d(unitNormals(random, metaSize), [metaCount, metaSize]);
      return tf.mean(tf.square(primary(parameters, stageCount, metas))).dataSync()[0]!;
    });
  } finally {
    if (previous !== undefined) void tf.setBackend(previous);
  }
}

/** Normal draws [metaCount, size], each column shifted and scaled to mean 0 and power 1: fewer are needed. */
function unitNormals(random: Random, size: number): Float32Array {
  const values = new Float32Array(metaCount * size);
  random.fillNormal(values);
  for (let column = 0; column < size; column++) {
    const at = (row: number) => row * size + column;
    let sum = 0;
    for (let row = 0; row < metaCount; row++) sum += values[at(row)]!;
    let power = 0;
    for (let row = 0; row < metaCount; row++) {
      values[at(row)]! -= sum / metaCount;
      power += values[at(row)]! ** 2 / metaCount;
    }
    for (let row = 0; row < metaCount; row++) values[at(row)]! /= Math.sqrt(power);
  }
  return values;
}
