/**
 * Two graphs in one session: a first one, and a second one that reads what the first computes, row by row. A run asks for the first's
 * outputs, or for the second's; what lies between the two then never leaves the device. The first's constants are there once.
 *
 * The second graph is appended to the bytes of the first: a reader of Protobuf merges a message that comes twice, so a large file is
 * neither parsed nor written anew. The second lies in a branch of an `If`: a run for the first's outputs does not compute it.
 */

import { clone, create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { failedPrecondition } from '../contract/errors.ts';
import {
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  type GraphProto,
  type GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  type OperatorSetIdProto,
  OperatorSetIdProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../gen/onnx/onnx_pb.ts';
import { type Climbing, climbedAction, climbInputs, climbing, typeOf, withoutSteps } from './climbing.ts';
import { opsetVersion } from './encode.ts';
import { integerAttribute } from './rows/attributes.ts';
import { floatTensor, type Session, Tensor, type TensorInfo, type TensorMap } from './session.ts';

/** A second graph, ready to be appended to a first. */
export type Joining = {
  readonly bytes: Uint8Array;
  /** Its inputs that the first graph does not compute: [rows, ...sizes], float32. */
  readonly inputs: readonly { readonly name: string; readonly sizes: readonly number[] }[];
  readonly outputs: readonly string[];
  /** Whether it climbs first. */
  readonly climbs: boolean;
};

/** The input that says whether the second graph is left out, bool [1]. Zeros, as of a first run, run both. */
const leavesOut = 'leaves_out_second';
/** Begins the names of the second graph's own values. */
const prefix = 'second/';

/**
 * @param model the second graph as an ONNX model. Its row i uses row `index[i]` of what the first computes; joined, row i
 * @param between names of its inputs that the first graph computes
 * @param climb of a critic, whose action may climb before it is computed; it has an output {@link climbedAction} then
 * @returns undefined if it cannot be joined: no critic that is to climb, graphs within graphs, rows that are not [rows, ...] of float32, other uses of `index`, or
 *   another operator set than {@link opsetVersion}
 */
export function joiningOf(model: Uint8Array, between: readonly string[], climb?: Climbing): Joining | undefined {
  const { graph, opsetImport } = fromBinary(ModelProtoSchema, model);
  if (graph === undefined || !opsetImport.every(isOurSet)) return undefined;
  const rows = graph.input.filter(({ name }) => name !== 'index' && !between.includes(name));
  const inputs = rows.flatMap(rowInput);
  if (inputs.length === 0 || inputs.length < rows.length || !graph.node.every(isJoinable)) return undefined;
  if (climb !== undefined && !isCritic(graph)) return undefined;
  const second = { graph, between, rows: inputs[0]!.name };
  const outputs = [...graph.output, ...(climb === undefined ? [] : [climbedRows(graph)])];
  const appended = create(ModelProtoSchema, {
    graph: {
      node: [
        {
          opType: 'If',
          input: [leavesOut],
          output: outputs.map(({ name }) => name),
          attribute: [
            { name: 'then_branch', type: AttributeType.GRAPH, g: nothing(outputs) },
            {
              name: 'else_branch',
              type: AttributeType.GRAPH,
              g: climb === undefined ? renamed(second) : climbed(second, climb),
            },
          ],
        },
      ],
      input: [
        { name: leavesOut, type: typeOf(DataType.BOOL, [1]) },
        ...rows.map(ofOwnSymbols),
        ...(climb === undefined ? [] : climbInputs),
      ],
      output: outputs.map(ofOwnSymbols),
    },
  });
  return {
    bytes: toBinary(ModelProtoSchema, appended),
    inputs,
    outputs: outputs.map(({ name }) => name),
    climbs: climb !== undefined,
  };

  function isJoinable(node: NodeProto): boolean {
    const { input, attribute, opType } = node;
    if (attribute.some(({ g }) => g !== undefined)) return false;
    if (!input.includes('index')) return true;
    if (opType === 'Gather') return between.includes(input[0]!) && integerAttribute(node, 'axis', 0) === 0;
    return opType === 'Shape' && integerAttribute(node, 'start', 0) === 0 && integerAttribute(node, 'end', 0) === 1;
  }
}

const isOurSet = ({ domain, version }: { readonly domain: string; readonly version: bigint }): boolean =>
  domain === '' && version === BigInt(opsetVersion);

/** With names of its own for sizes that are open: one of the first graph may be the same, and another number. */
function ofOwnSymbols(value: ValueInfoProto): ValueInfoProto {
  const own = clone(ValueInfoProtoSchema, value);
  const dims = own.type?.value.case === 'tensorType' ? (own.type.value.value.shape?.dim ?? []) : [];
  for (const dim of dims) if (dim.value.case === 'dimParam') dim.value.value = prefix + dim.value.value;
  return own;
}

/** An input by its name and sizes, in a list; an empty one where it is not [rows, ...] of float32. */
function rowInput({ name, type }: ValueInfoProto): Joining['inputs'] {
  const tensor = type?.value.case === 'tensorType' ? type.value.value : undefined;
  const [first, ...rest] = tensor?.shape?.dim ?? [];
  const sizes = rest.flatMap(({ value }) => (value.case === 'dimValue' ? [Number(value.value)] : []));
  const isRows = tensor?.elemType === DataType.FLOAT && first?.value.case === 'dimParam';
  return isRows && sizes.length === rest.length ? [{ name, sizes }] : [];
}

const isCritic = ({ input, output }: GraphProto): boolean =>
  input.some(({ name }) => name === 'action') &&
  ['q', 'dq_da'].every((wanted) => output.some(({ name }) => name === wanted));

/** The output of where actions ended: like the input that they begin as. */
const climbedRows = ({ input }: GraphProto): ValueInfoProto => ({
  ...input.find(({ name }) => name === 'action')!,
  name: climbedAction,
});

/** Outputs without rows. */
function nothing(outputs: readonly ValueInfoProto[]): MessageInitShape<typeof GraphProtoSchema> {
  const initializer = outputs.map(({ name, type }) => {
    const tensor = type?.value.case === 'tensorType' ? type.value.value : undefined;
    const dims = (tensor?.shape?.dim ?? []).map(({ value }) => (value.case === 'dimValue' ? value.value : 0n));
    return {
      name: `${prefix}no ${name}`,
      dims,
      dataType: tensor?.elemType ?? DataType.FLOAT,
      rawData: new Uint8Array(),
    };
  });
  return {
    name: 'nothing',
    initializer,
    node: initializer.map(({ name }) => ({ opType: 'Identity', input: [name], output: [`${name}, given`] })),
    output: outputs.map(({ type }, i) => ({ name: `${initializer[i]!.name}, given`, ...(type && { type }) })),
  };
}

type Second = {
  readonly graph: GraphProto;
  readonly between: readonly string[];
  /** An input with a row for each of `index`. */
  readonly rows: string;
};

/** The graph with names of its own, but for what it reads of the graph around it. */
const renamed = (second: Second): MessageInitShape<typeof GraphProtoSchema> => {
  const nameOf = namesOf(second, prefix);
  return {
    name: 'second',
    initializer: constantsOf(second, nameOf),
    node: nodesOf(second, nameOf),
    output: outputsOf(second, nameOf),
  };
};

/** The same, with the action climbing before it. */
function climbed(second: Second, climb: Climbing): MessageInitShape<typeof GraphProtoSchema> {
  const nameOf = namesOf(second, prefix, climbedAction);
  const steps = climbing((action, stepPrefix) => {
    const inStep = namesOf(second, stepPrefix, action);
    return { nodes: nodesOf(second, inStep), q: inStep('q'), dqDa: inStep('dq_da') };
  }, climb);
  const type = second.graph.input.find(({ name }) => name === 'action')!.type;
  return {
    name: 'second',
    initializer: [...constantsOf(second, nameOf), ...steps.initializer],
    node: [...steps.nodes, ...nodesOf(second, nameOf)],
    output: [...outputsOf(second, nameOf), { name: climbedAction, ...(type && { type }) }],
  };
}

/**
 * What a name of the graph is in the joined one.
 * @param own begins the names of what its nodes compute
 * @param action what is read in place of its action
 */
function namesOf({ graph, between, rows }: Second, own: string, action = 'action'): (name: string) => string {
  const outer = new Set(graph.input.map(({ name }) => name));
  const constants = new Set(graph.initializer.map(({ name }) => name));
  const names = new Map<string, string>([
    ['index', rows],
    ['action', action],
  ]);
  for (const node of graph.node) if (isPick(node, between)) names.set(node.output[0]!, node.input[0]!);
  return (name) =>
    names.get(name) ?? (name === '' || outer.has(name) ? name : (constants.has(name) ? prefix : own) + name);
}

const isPick = ({ opType, input }: NodeProto, between: readonly string[]): boolean =>
  opType === 'Gather' && input[1] === 'index' && between.includes(input[0]!);

const constantsOf = ({ graph }: Second, nameOf: (name: string) => string) =>
  graph.initializer.map((tensor) => ({ ...tensor, name: nameOf(tensor.name) }));

const nodesOf = ({ graph, between }: Second, nameOf: (name: string) => string) =>
  graph.node
    .filter((node) => !isPick(node, between))
    .map((node) => ({ ...node, input: node.input.map(nameOf), output: node.output.map(nameOf) }));

const outputsOf = ({ graph }: Second, nameOf: (name: string) => string) =>
  graph.output.map((output) => ({ ...output, name: nameOf(output.name) }));

/**
 * The bytes of a model with the second graph behind it.
 * @param name of the first, for error messages
 * @throws HyperpolicyError failed_precondition: another operator set, in which operators of the same name mean other things; Error if the
 *   bytes are no model
 */
export function joined(first: Uint8Array, second: Joining['bytes'], name: string): Uint8Array<ArrayBuffer> {
  const others = operatorSets(first).filter((set) => !isOurSet(set));
  if (others.length > 0) {
    const actual = others.map(({ domain, version }) => `${domain || 'ONNX'} ${version}`).join(', ');
    throw failedPrecondition({ where: `${name}: operator sets`, expected: `ONNX ${opsetVersion} alone`, actual });
  }
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** The same as a reader of the whole model gives, without reading its graph. */
function operatorSets(model: Uint8Array): OperatorSetIdProto[] {
  const reader = new BinaryReader(model);
  const sets: OperatorSetIdProto[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === operatorSetField) sets.push(fromBinary(OperatorSetIdProtoSchema, reader.bytes()));
    else reader.skip(wireType, field);
  }
  return sets;
}

/** `ModelProto.opset_import`. */
const operatorSetField = 8;

/** One of the ways to run a joined graph. */
export type Part = Pick<Session, 'inputs' | 'outputs'> & {
  /** Beside those of its inputs. */
  readonly feeds: TensorMap;
};

/**
 * What a session with a second graph can be run for: the first alone; both for the outputs of the second; and, if it climbs, the same after
 * an ascent, with the feeds of climbFeeds.
 * @returns undefined if the session has no second graph
 */
export function partsOf({ inputs, outputs }: Pick<Session, 'inputs' | 'outputs'>, second: Joining) {
  if (!inputs.some(({ name }) => name === leavesOut)) return undefined;
  const isOfSecond = ({ name }: TensorInfo) => second.inputs.some((input) => input.name === name);
  const steps = second.climbs ? withoutSteps : {};
  const own = inputs.filter(({ name }) => name !== leavesOut && !Object.hasOwn(steps, name));
  const results = outputs.filter(({ name }) => second.outputs.includes(name));
  const leftOut = second.inputs.map(({ name, sizes }) => [name, floatTensor(new Float32Array(), [0, ...sizes])]);
  const first: Part = {
    inputs: own.filter((input) => !isOfSecond(input)),
    outputs: outputs.filter((output) => !results.includes(output)),
    feeds: { ...Object.fromEntries(leftOut), ...steps, [leavesOut]: flag(1) },
  };
  const both: Part = {
    inputs: own,
    outputs: results.filter(({ name }) => name !== climbedAction),
    feeds: { ...steps, [leavesOut]: flag(0) },
  };
  const climb: Part | undefined = second.climbs
    ? { inputs: own, outputs: results, feeds: { [leavesOut]: flag(0) } }
    : undefined;
  return { first, both, climb };
}

const flag = (value: 0 | 1): Tensor => new Tensor('bool', Uint8Array.of(value), [1]);
