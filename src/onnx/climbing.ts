/**
 * Projected gradient ascent on the action inside a critic's graph, as ONNX's `Loop`: on a device, nothing moves to the host between steps.
 * A run without steps computes what the critic computes.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ReductionName } from '../contract/words.ts';
import {
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  type GraphProtoSchema,
  type TypeProtoSchema,
} from '../gen/onnx/onnx_pb.ts';
import { floatTensor, indexTensor, type Tensor } from './session.ts';

type GraphInit = MessageInitShape<typeof GraphProtoSchema>;
type Nodes = NonNullable<GraphInit['node']>;
type Tensors = NonNullable<GraphInit['initializer']>;
type ValueInfos = NonNullable<GraphInit['input']>;
type TypeInit = MessageInitShape<typeof TypeProtoSchema>;

export type Climbing = {
  /** Of each action value, environment units; infinite where there is none. */
  readonly low: Float32Array;
  readonly high: Float32Array;
  /** Value functions of the critic, 1 or 2. */
  readonly ensembleSize: number;
};

export type Climb = {
  /** 0 or more. */
  readonly stepCount: number;
  readonly stepSize: number;
  readonly reduction: ReductionName;
};

/** The output that says where the ascent ended, [rows, A]. */
export const climbedAction = 'climbed_action';

const names = { steps: 'climb_steps', size: 'climb_size', reduction: 'climb_reduction' } as const;
const prefix = 'climb/';
const codes: Readonly<Record<ReductionName, number>> = { q1: 0, min: 1, mean: 2 };

/** Inputs of a graph that climbs, beside those of the critic, [1] each. */
export const climbFeeds = ({ stepCount, stepSize, reduction }: Climb): Record<string, Tensor> => {
  const scalar = (value: number) => floatTensor(Float32Array.of(value), [1]);
  return {
    // A number of passes is read on the host: one that a device made would come back in every run, which waits for all before it.
    [names.steps]: indexTensor([stepCount]),
    [names.size]: scalar(stepSize),
    [names.reduction]: scalar(codes[reduction]),
  };
};

/** The critic only. */
export const withoutSteps = climbFeeds({ stepCount: 0, stepSize: 0, reduction: 'q1' });

/** A type whose sizes are numbers, or names of open ones. */
export const typeOf = (elemType: DataType, sizes: readonly (number | string)[]): TypeInit => {
  const dim = sizes.map((size) =>
    typeof size === 'string'
      ? { value: { case: 'dimParam', value: size } as const }
      : { value: { case: 'dimValue', value: BigInt(size) } as const },
  );
  return { value: { case: 'tensorType', value: { elemType, shape: { dim } } } };
};

export const climbInputs: ValueInfos = Object.values(names).map((name) => ({
  name,
  type: typeOf(name === names.steps ? DataType.INT64 : DataType.FLOAT, [1]),
}));

/** The critic's nodes at an action, under names of their own. */
export type CriticAt = (
  action: string,
  prefix: string,
) => { readonly nodes: Nodes; readonly q: string; readonly dqDa: string };

/**
 * The nodes that make {@link climbedAction} of the input `action`.
 *
 * A step: action <- clip(action + size x gradient, bounds), the gradient of the reduced ensemble as in reduceEnsemble. A gradient that is
 * not finite makes the action so, as a bound would hide it.
 */
export function climbing(
  criticAt: CriticAt,
  { low, high, ensembleSize }: Climbing,
): { readonly nodes: Nodes; readonly initializer: Tensors } {
  const [action, next] = [`${prefix}action`, `${prefix}next`];
  const { nodes, q, dqDa } = criticAt(action, `${prefix}critic/`);
  const body: Nodes = [...nodes];
  const emit = (opType: string, input: readonly string[], output: string, axis?: number): string => {
    const attribute = axis === undefined ? [] : [{ name: 'axis', type: AttributeType.INT, i: BigInt(axis) }];
    body.push({ opType, input: [...input], output: [`${prefix}${output}`], attribute });
    return `${prefix}${output}`;
  };
  const member = (i: 0 | 1) => emit('Gather', [dqDa, constant.member[i]], `dq_da${i}`, 1); // [B, A]
  const gradient = ensembleSize === 1 ? member(0) : reduced(member(0), member(1));
  const moved = emit('Add', [action, emit('Mul', [names.size, gradient], 'step')], 'moved');
  const clipped = emit('Min', [emit('Max', [moved, constant.low], 'above low'), constant.high], 'clipped');
  emit('Add', [clipped, emit('Sub', [gradient, gradient], 'zero if finite')], 'next');
  body.push({ opType: 'Identity', input: [`${prefix}on`], output: [`${prefix}still on`] });

  function reduced(first: string, second: string): string {
    const value = (i: 0 | 1) => emit('Gather', [q, constant.members[i]], `q${i}`, 1); // [B, 1]
    const isSmaller = emit('Less', [value(1), value(0)], 'second is smaller');
    const isMin = emit('Equal', [names.reduction, constant.min], 'is min');
    const one = emit('Where', [emit('And', [isSmaller, isMin], 'takes second'), second, first], 'one');
    const mean = emit('Mul', [emit('Add', [first, second], 'sum'), constant.half], 'mean');
    return emit('Where', [emit('Equal', [names.reduction, constant.mean], 'is mean'), mean, one], 'dq_da');
  }

  const loopBody: GraphInit = {
    name: 'climb step',
    node: body,
    input: [
      { name: `${prefix}step number`, type: typeOf(DataType.INT64, []) },
      { name: `${prefix}on`, type: typeOf(DataType.BOOL, []) },
      { name: action, type: typeOf(DataType.FLOAT, [`${prefix}rows`, low.length]) },
    ],
    output: [
      { name: `${prefix}still on`, type: typeOf(DataType.BOOL, []) },
      { name: next, type: typeOf(DataType.FLOAT, [`${prefix}rows`, low.length]) },
    ],
  };
  return {
    nodes: [
      {
        opType: 'Loop',
        input: [names.steps, '', 'action'],
        output: [climbedAction],
        attribute: [{ name: 'body', type: AttributeType.GRAPH, g: loopBody }],
      },
    ],
    initializer: [
      floats(constant.low, low, [1, low.length]),
      floats(constant.high, high, [1, high.length]),
      ...(['min', 'mean'] as const).map((name) => floats(constant[name], Float32Array.of(codes[name]), [1])),
      floats(constant.half, Float32Array.of(0.5), []),
      ...([0, 1] as const).flatMap((i) => [index(constant.member[i], i, []), index(constant.members[i], i, [1])]),
    ],
  };
}

const floats = (name: string, values: Float32Array, sizes: readonly number[]) => ({
  name,
  dims: sizes.map(BigInt),
  dataType: DataType.FLOAT,
  rawData: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
});

const index = (name: string, value: number, sizes: readonly number[]) => ({
  name,
  dims: sizes.map(BigInt),
  dataType: DataType.INT64,
  rawData: new Uint8Array(BigInt64Array.of(BigInt(value)).buffer),
});

const constant = {
  low: `${prefix}low`,
  high: `${prefix}high`,
  min: `${prefix}code of min`,
  mean: `${prefix}code of mean`,
  half: `${prefix}half`,
  /** An index of a member that drops the axis, and one that keeps it. */
  member: [`${prefix}0`, `${prefix}1`],
  members: [`${prefix}[0]`, `${prefix}[1]`],
} as const;
