import { describe, expect, test } from 'vitest';
import { createProgress, progressLine } from '../../../trainer/run/progress.ts';

function display(isTTY: boolean, columns = 120) {
  const written: string[] = [];
  let time = 0;
  const stream = { isTTY, columns, write: (text: string) => written.push(text) };
  const progress = createProgress({ stream, label: 'env', stepCount: 1000, now: () => time });
  return { written, progress, advance: (ms: number) => (time += ms) };
}

describe('progressLine', () => {
  const state = {
    label: 'HalfCheetah-v5',
    step: 45_000,
    stepCount: 100_000,
    latestReturn: { of: 'training' as const, value: -12.34 },
    bar: true,
  };

  test('shows share, rate, return and time left', () => {
    // 55,000 steps at 100 a second are 550 s; 45% of 24 marks are 10.8.
    expect(progressLine({ ...state, stepsPerSecond: 100 })).toBe(
      'HalfCheetah-v5 [###########-------------] 45,000/100,000 45% · 100 steps/s · training return -12.3 · 9:10 left',
    );
    expect(progressLine({ ...state, bar: false, stepsPerSecond: 12 })).toContain('1:16:23 left'); // 4583 s
  });

  test('shows returns before and after adaptation, and how long a slow step takes', () => {
    // 300 steps at 0.25 a second are 1200 s.
    const slow = { ...state, step: 100, stepCount: 400, bar: false, stepsPerSecond: 0.25 };
    expect(progressLine({ ...slow, latestReturn: { of: 'evaluation', value: [-20, -6.04] } })).toBe(
      'HalfCheetah-v5 100/400 25% · 4.0 s/step · evaluation return -20.0 before, -6.0 after · 20:00 left',
    );
  });

  test('leaves out what is not known', () => {
    expect(progressLine({ ...state, bar: false, stepsPerSecond: Number.NaN, latestReturn: undefined })).toBe(
      'HalfCheetah-v5 45,000/100,000 45%',
    );
  });
});

describe('createProgress', () => {
  test('on a terminal redraws in place, at most ten times a second', () => {
    const { written, progress, advance } = display(true);
    for (let step = 0; step < 500; step++) {
      progress.report(step, { of: 'training', value: step / 2 });
      advance(1);
    }
    expect(written).toHaveLength(5);
    expect(written.every((text) => text.startsWith('\r\x1b[2K') && !text.includes('\n'))).toBe(true);
    expect(written.at(-1)).toContain('400/1,000 40% · 1,000 steps/s · training return 200.0 · 0:01 left');
    progress.finish();
    expect(written.slice(-2)).toEqual([expect.stringContaining('499/1,000'), '\n']);
  });

  test('elsewhere writes a plain line every five seconds', () => {
    const { written, progress, advance } = display(false);
    for (let step = 0; step < 12; step++) {
      progress.report(step);
      advance(1000);
    }
    progress.finish();
    expect(written).toEqual([
      'env 0/1,000 0%\n',
      'env 5/1,000 0% · 1 steps/s · 16:35 left\n',
      'env 10/1,000 1% · 1 steps/s · 16:30 left\n',
      'env 11/1,000 1% · 1 steps/s · 17:59 left\n', // finished a second later: 989 steps at 11/12 a second
    ]);
  });

  test('the rate is that of the last seconds, not of the whole run', () => {
    const { written, progress, advance } = display(true);
    progress.report(0);
    advance(1000);
    progress.report(500); // the warm-up
    for (let step = 501; step <= 520; step++) {
      advance(1000);
      progress.report(step);
    }
    expect(written.at(-1)).toContain('· 1 steps/s ·');
  });

  test('a printed line stands above the bar, which is drawn again', () => {
    const { written, progress } = display(true);
    progress.print('before');
    progress.report(1);
    progress.print('between');
    expect(written).toEqual([
      '\r\x1b[2Kbefore\n',
      expect.stringContaining('1/1,000'),
      '\r\x1b[2Kbetween\n',
      expect.stringContaining('1/1,000'),
    ]);
  });

  test('the newest return is that of the last evaluation, also where no step follows it', () => {
    for (const isTTY of [true, false]) {
      const { written, progress, advance } = display(isTTY);
      progress.report(1000, { of: 'training', value: -2.2 });
      // No step in this time: the rate is not known.
      advance(1000);
      progress.print('step 1000: evaluation return -892.7', { of: 'evaluation', value: -892.7 });
      progress.finish();
      const last = written.filter((text) => text.includes('1,000/1,000')).at(-1);
      expect(last).toMatch(/100% · evaluation return -892\.7\n?$/);
    }
  });

  test('shows the whole line on a terminal that does not tell its width', () => {
    const { written, progress } = display(true, 0);
    progress.report(1);
    expect(written[0]).toMatch(/1\/1,000 0%$/);
  });

  test('never fills a narrow terminal to its last column', () => {
    const { written, progress } = display(true, 20);
    progress.report(1);
    expect(written[0]).toHaveLength('\r\x1b[2K'.length + 19);
  });
});
