/** First runs of a graph, before anybody waits for one: the runtime plans and allocates its memory, and loads what it loads lazily. */

import { sizeOf } from '../contract/counts.ts';
import { HyperpolicyError, invalidArgument } from '../contract/errors.ts';
import { arrayTypes } from './graph.ts';
import { type Session, Tensor, type TensorInfo, type TensorMap } from './session.ts';

/** Most values of one input: a graph that asks for more is refused, as it costs memory. */
const inputValueCountMax = 2 ** 24;

/**
 * Runs a graph once over zeros.
 * @param rowCount stands for every symbolic dimension
 * @throws HyperpolicyError naming the graph: as Session.run; invalid_argument where it does not run with so many rows
 */
export function warmUp(session: Pick<Session, 'inputs' | 'run'>, rowCount: number, name: string): void {
  const feeds: TensorMap = {};
  for (const input of session.inputs) feeds[input.name] = zeros(input, rowCount, name);
  try {
    session.run(feeds);
  } catch (cause) {
    if (cause instanceof HyperpolicyError) throw cause;
    throw invalidArgument({
      where: name,
      expected: `a graph that runs ${rowCount === 1 ? 'one row' : `${rowCount} rows`}`,
      actual: (cause as Error).message,
      cause,
    });
  }
}

function zeros({ name, dtype, shape }: TensorInfo, rowCount: number, graph: string): Tensor {
  const sizes = shape.map((size) => (typeof size === 'string' ? rowCount : size));
  const count = sizeOf(sizes);
  if (count > inputValueCountMax) {
    throw invalidArgument({
      where: `${graph} input "${name}"`,
      expected: `at most ${inputValueCountMax} values for ${rowCount} rows`,
      actual: `[${shape.join(', ')}]`,
    });
  }
  return new Tensor(dtype, new arrayTypes[dtype](count), sizes);
}
