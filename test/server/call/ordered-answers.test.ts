import { expect, test, vi } from 'vitest';
import { OrderedAnswers, orderedStream } from '../../../server/call/ordered-answers.ts';
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

test('answers that are there at once and wait for a slow one count, and pause the client as those to come do', () => {
  const sink = { pause: vi.fn(), resume: vi.fn() };
  const sent: number[] = [];
  const answers = new OrderedAnswers<number>({ sink, send: (one) => sent.push(one), countMax: 4 });
  const slow = answers.expect();
  for (const answer of [2, 3]) answers.give(answer);
  expect(sink.pause).not.toHaveBeenCalled();
  answers.give(4);
  expect([answers.pendingCount, sink.pause.mock.calls.length, sink.resume.mock.calls.length]).toEqual([4, 1, 0]);
  answers.give(1, slow);
  expect([answers.pendingCount, sink.pause.mock.calls.length, sink.resume.mock.calls.length]).toEqual([0, 1, 1]);
  expect(sent).toEqual([1, 2, 3, 4]);
});
