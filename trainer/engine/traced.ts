/** The default engine: a computation is traced once, and each run is one native call, or a row program where that takes less. */

import { sizeOf } from '../../src/contract/counts.ts';
import { mapValues } from '../../src/contract/records.ts';
import { chooseDevice } from '../../src/onnx/choose-device.ts';
import { compile } from '../../src/onnx/compile.ts';
import { encode } from '../../src/onnx/encode.ts';
import type { Graph } from '../../src/onnx/graph.ts';
import { afterPasses, repeated } from '../../src/onnx/loop.ts';
import { multiplyAdds } from '../../src/onnx/multiply-adds.ts';
import { joinEqualParts } from '../../src/onnx/passes/equal-parts.ts';
import { optimise } from '../../src/onnx/passes/index.ts';
import type { DeviceName } from '../../src/onnx/providers.ts';
import { openSession, type SessionOptions } from '../../src/onnx/session.ts';
import { openSmallComputation } from '../../src/onnx/small-computation.ts';
import { splitSteady } from '../../src/onnx/steady-part.ts';
import { type TracedFunction, trace } from '../../src/trace/trace.ts';
import { memoryLimit } from '../machine/memory.ts';
import { bindSession, checkOutputs, type ItemModels } from './bound.ts';
import type { BoundInput, Computation, ComputationDefinition, Engine, TakenDevice } from './engine.ts';
import { itemsOnThreads } from './item-threads.ts';

export type TracedEngineOptions = {
  /** Most threads inside one operator. They spin for a moment between operators, so give no more than there are free cores. */
  readonly threadCount: number;
  /** Device of the computations; `cpu` unless given. Inputs and outputs stay in host memory. */
  readonly device?: DeviceName | undefined;
};

/**
 * A computation with fewer multiply-adds, about 20 us of arithmetic, runs on one thread of the CPU whatever the options are:
 * to wake another thread or a device takes longer. One action of an actor is below this, an update step is above.
 */
const smallMultiplyAdds = 1e6;

export const createTracedEngine = ({ threadCount, device }: TracedEngineOptions): Engine => {
  let chosen: TakenDevice | undefined;
  /** Found out by the first computation that is not small. */
  const choice = (): TakenDevice => {
    chosen ??= chooseDevice(device ?? 'cpu');
    return chosen;
  };
  const options = (): SessionOptions => {
    const { device: first, skipped } = choice();
    // Where `auto` leaves nothing out, a graph may still not fit there.
    return { threadCount, spinning: threadCount > 1, device: skipped.length > 0 ? first : (device ?? 'cpu') };
  };
  const devices: TakenDevice[] = [];
  const noted = <Taken extends TakenDevice>(taken: Taken): Taken => {
    const skipped = [...choice().skipped, ...taken.skipped];
    if (!devices.some((other) => other.device === taken.device)) devices.push({ device: taken.device, skipped });
    return taken;
  };

  return {
    name: 'traced',
    devices,
    compile(definition) {
      const { name, inputs, outputs, fn } = definition;
      const graph = smallestFirst(graphOf(name, inputs, fn));
      checkOutputs(name, graph.outputs, outputs);
      if (multiplyAdds(graph) < smallMultiplyAdds) return small(definition, graph);
      const session = noted(compile(graph, options()));
      const shapes = new Map(session.outputs.map((output) => [output.name, output.shape as readonly number[]]));
      return bindSession(session, {
        inputs,
        outputs: (output) => ({ data: outputs[output]!, shape: shapes.get(output)! }),
      });
    },
    compileRepeated({ name, passCount, state, slices, pass }) {
      const traced = joinEqualParts(optimise(graphOf(name, { ...state, ...slices }, pass)));
      const work = multiplyAdds(traced) * passCount;
      const graph = smallestFirst(repeated(traced, passCount, new Set(Object.keys(slices))));
      const wholes = Object.entries(slices).map(([slice, { shape, data }]) => [
        slice,
        { shape: [passCount, ...shape], data },
      ]);
      const states = new Map(Object.entries(state).map(([part, array]) => [afterPasses(part), array]));
      const model = encode(graph);
      const session =
        work < smallMultiplyAdds
          ? openSession(model, { threadCount: 1 }, name)
          : noted(openSession(model, options(), name));
      return bindSession(session, {
        inputs: { ...state, ...Object.fromEntries(wholes) },
        // Written when all passes are done, so they may be the arrays that the first one read.
        outputs: (output) => states.get(output)!,
      });
    },
    compileItems(definition) {
      const taken = choice().device;
      // A device has no second core for another item.
      if (taken !== 'cpu') return undefined;
      noted({ device: taken, skipped: [] });
      return itemsOnThreads(definition, { threadCount, keptBytesMax: keptBytesMax(), modelsOf: itemModelsOf });
    },
  };
};

/** The bytes are those of {@link modelOf}. */
function small(definition: ComputationDefinition, graph: Graph): Computation {
  const { bind, dispose } = openSmallComputation(encode(optimise(graph)), graph.name);
  const inputs = Object.entries(definition.inputs).map(([name, { data }]) => [name, data]);
  return { run: bind(Object.fromEntries(inputs), definition.outputs), dispose };
}

function graphOf(name: string, inputs: Readonly<Record<string, BoundInput>>, fn: TracedFunction): Graph {
  return trace(
    name,
    mapValues(inputs, ({ shape }) => ({ shape })),
    fn,
  );
}

/** The session copies the first output. */
const smallestFirst = (graph: Graph): Graph => ({
  ...graph,
  outputs: graph.outputs.toSorted((a, b) => sizeOf(a.value.shape) - sizeOf(b.value.shape)),
});

type Function = Pick<ComputationDefinition, 'name' | 'inputs' | 'fn'>;

const optimised = ({ name, inputs, fn }: Function): Graph => optimise(smallestFirst(graphOf(name, inputs, fn)));

/** A computation as ONNX: for another thread, which gets the same bits from it on one thread. */
export const modelOf = (definition: Function): Uint8Array => encode(optimised(definition));

/** A function of items as ONNX, split if it pays. @param steady names of its steady inputs */
function itemModelsOf(definition: Function, steady: readonly string[]): ItemModels {
  const graph = optimised(definition);
  const parts = splitSteady(graph, new Set(steady));
  if (parts === undefined) return { rest: encode(graph) };
  return { rest: encode(parts.rest), steady: encode(parts.steady) };
}

/** Of items' steady inputs; also an eighth of the memory at most. */
const largestKeptBytes = 2 ** 30;

const keptBytesMax = (): number => Math.min(largestKeptBytes, memoryLimit() / 8);
