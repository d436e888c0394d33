import { expect, test } from 'vitest';
import { createTurns, NamedTurns } from '../../src/pacing/turns.ts';

/** Jobs that end when they are told to. */
function jobs() {
  const begun: string[] = [];
  const ends = new Map<string, { resolve(value: string): void; reject(error: Error): void }>();
  const job = (name: string) => () => {
    begun.push(name);
    return new Promise<string>((resolve, reject) => ends.set(name, { resolve, reject }));
  };
  return { begun, job, end: (name: string) => ends.get(name)! };
}

test('at most as many jobs run as may, the others in their order; a job that fails frees its place', async () => {
  const { begun, job, end } = jobs();
  const take = createTurns(2);
  const [a, b, c] = ['a', 'b', 'c', 'd'].map((name) => take(job(name)));
  expect(begun).toEqual(['a', 'b']);
  end('b').reject(new Error('no'));
  await expect(b).rejects.toThrow('no');
  await expect.poll(() => begun).toEqual(['a', 'b', 'c']);
  end('c').resolve('c is done');
  expect(await c).toBe('c is done');
  await expect.poll(() => begun).toEqual(['a', 'b', 'c', 'd']);
  end('d').resolve('');
  end('a').resolve('a is done');
  expect(await a).toBe('a is done');
  const last = take(job('last'));
  expect(begun.at(-1)).toBe('last');
  end('last').resolve('');
  await last;
});

test('jobs of one name follow each other, also one that failed; other names do not wait', async () => {
  const { begun, job, end } = jobs();
  const turns = new NamedTurns();
  const first = turns.take('m', job('m1'));
  const second = turns.take('m', job('m2'));
  void turns.take('n', job('n1'));
  await expect.poll(() => begun).toEqual(['m1', 'n1']);
  end('m1').reject(new Error('no'));
  await expect(first).rejects.toThrow('no');
  await expect.poll(() => begun).toEqual(['m1', 'n1', 'm2']);
  let isOver = false;
  const over = turns.over().then(() => {
    isOver = true;
  });
  end('m2').resolve('');
  await second;
  expect(isOver).toBe(false);
  end('n1').resolve('');
  await over;
});
