import { expect, test } from 'vitest';
import { orderedStream } from '../../../server/call/ordered-answers.ts';
import { createCall } from '../../../server/call/rpc.ts';

test('an answer that cannot be written ends its stream with that error', async () => {
  const ended = new Promise((resolve) => {
    const sink = {
      send() {
        throw new Error('too large');
      },
      pause() {},
      resume() {},
      end: resolve,
    };
    const session = orderedStream(async (request: number) => request, 4)(sink);
    session.receive(1, createCall(0, Number.POSITIVE_INFINITY));
  });
  await expect(ended).resolves.toMatchObject({ message: 'too large' });
});
