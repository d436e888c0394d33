/** Checks that the server and the yardstick carry the same payloads; each throws where they do not. */

import { paths, type RawClient } from './serve-client.ts';
import { differenceOf } from './serve-echo-server.ts';
import type { ActPayload } from './serve-requests.ts';

/** Times in an answer are varints, and absent where they are 0: its length moves by some bytes. */
const toleranceBytes = 4;

/** The answer of median length. */
export function typicalAnswer(answers: readonly Buffer[]): Buffer {
  const byLength = [...answers].sort((a, b) => a.length - b.length);
  return byLength[byLength.length >> 1]!;
}

/** @throws Error where the server's answers are typically longer or shorter than the yardstick's */
export function checkAnswerSizes(what: string, answers: readonly Buffer[], yardstick: Buffer): void {
  const typical = typicalAnswer(answers).length;
  if (Math.abs(typical - yardstick.length) <= toleranceBytes) return;
  throw new Error(
    `${what}: expected answers of ${yardstick.length} bytes as the echo gives, within ${toleranceBytes}, got ${typical}`,
  );
}

/**
 * Sends the requests to a checking echo and compares what comes back.
 * @throws Error where a byte is changed either way
 */
export async function checkArrival(
  client: RawClient,
  { act, actStream }: ActPayload,
  answers: ActPayload,
): Promise<void> {
  const stream = client.stream(paths.actStream, actStream);
  const got = { act: await client.call(paths.act, act), actStream: await stream.call() };
  stream.close();
  for (const name of ['act', 'actStream'] as const) {
    const difference = differenceOf(got[name], answers[name]);
    if (difference !== undefined) throw new Error(`answer of ${name}: ${difference}`);
  }
}
