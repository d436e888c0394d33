/** Live progress of a run: a bar that redraws in place on a terminal, a plain line every few seconds elsewhere. */

import { beforeAndAfterText, returnTexts } from './return-text.ts';

const drawIntervalMs = 100;
const lineIntervalMs = 5_000;
/** The rate is measured over the last ten seconds, as warm-up steps are far faster than learning steps. */
const rateWindowMs = 10_000;
const barWidth = 24;
const clearLine = '\r\x1b[2K';

export type ProgressStream = { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown };

export type ProgressOptions = {
  /** Usually `process.stderr`, so that standard output stays clean. */
  readonly stream: ProgressStream;
  /** Name of the run, e.g. `halfcheetah-v5`. */
  readonly label: string;
  readonly stepCount: number;
  /** The counted unit, in the singular; a step unless given. */
  readonly unit?: string | undefined;
  /** Milliseconds, of which only differences matter; `performance.now` unless a test has its own. */
  readonly now?: () => number;
};

/** Training episodes have exploration noise, so their returns say other things than an evaluation's. */
export type LatestReturn = {
  readonly of: 'training' | 'evaluation';
  /** One return, or those before and after adaptation. */
  readonly value: number | readonly [before: number, after: number];
};

export type Progress = {
  /**
   * Tells the position. It draws at most every 0.1 s (a line every 5 s without a terminal), so it may be called every step.
   * @param latestReturn of the newest episode or evaluation, if there is one
   */
  report(step: number, latestReturn?: LatestReturn | undefined): void;
  /**
   * Writes a line of text above the bar.
   * @param latestReturn that the line tells of, which the display has from then on
   */
  print(line: string, latestReturn?: LatestReturn | undefined): void;
  /** Draws what was last told, unless it is drawn, and ends the line. A second call does nothing. */
  finish(): void;
};

/** A display that starts at the step of the first `report`. */
export function createProgress({
  stream,
  label,
  stepCount,
  unit,
  now = () => performance.now(),
}: ProgressOptions): Progress {
  const live = stream.isTTY === true;
  const interval = live ? drawIntervalMs : lineIntervalMs;
  const marks: { readonly at: number; readonly step: number }[] = [];
  let drawnAt = Number.NEGATIVE_INFINITY;
  let drawnStep = -1;
  let drawnReturn: LatestReturn | undefined;
  let step = 0;
  let reported = false;
  let finished = false;
  let latestReturn: LatestReturn | undefined;

  const draw = () => {
    const at = now();
    marks.push({ at, step });
    while (marks.length > 2 && at - marks[1]!.at > rateWindowMs) marks.shift();
    const first = marks[0]!;
    const stepsPerSecond =
      at > first.at && step > first.step ? ((step - first.step) / (at - first.at)) * 1000 : Number.NaN;
    const text = progressLine({ label, step, stepCount, unit, stepsPerSecond, latestReturn, bar: live });
    // A terminal without a size, as of `docker run -t`, says 0.
    stream.write(live ? `${clearLine}${text.slice(0, (stream.columns || 120) - 1)}` : `${text}\n`);
    drawnAt = at;
    drawnStep = step;
    drawnReturn = latestReturn;
  };

  return {
    report(position, value) {
      reported = true;
      step = position;
      latestReturn = value ?? latestReturn;
      if (now() - drawnAt >= interval) draw();
    },
    print(line, value) {
      latestReturn = value ?? latestReturn;
      stream.write(live ? `${clearLine}${line}\n` : `${line}\n`);
      if (live && drawnStep >= 0) draw();
    },
    finish() {
      if (finished) return;
      finished = true;
      if (reported && (step !== drawnStep || latestReturn !== drawnReturn)) draw();
      if (live && drawnStep >= 0) stream.write('\n');
    },
  };
}

export type ProgressState = {
  readonly label: string;
  readonly step: number;
  readonly stepCount: number;
  readonly unit?: string | undefined;
  /** NaN while unknown. */
  readonly stepsPerSecond: number;
  readonly latestReturn: LatestReturn | undefined;
  /** Whether to draw a bar. */
  readonly bar: boolean;
};

/** The counted unit in the singular. */
export const singleUnit = (stepUnit: string): string => stepUnit.replace(/s$/, '');

/** One state as text: `label [####----] 1,234/5,000 24% · 321 steps/s · training return 1234.5 · 0:12 left`. */
export function progressLine(state: ProgressState): string {
  const { label, step, stepCount, unit = 'step', stepsPerSecond, latestReturn, bar } = state;
  const share = Math.min(1, step / stepCount);
  const filled = Math.round(share * barWidth);
  const picture = bar ? `[${'#'.repeat(filled)}${'-'.repeat(barWidth - filled)}] ` : '';
  const left = (stepCount - step) / stepsPerSecond;
  return [
    `${label} ${picture}${grouped(step)}/${grouped(stepCount)} ${Math.floor(share * 100)}%`,
    Number.isFinite(stepsPerSecond) ? pace(stepsPerSecond, unit) : [],
    latestReturn === undefined ? [] : `${latestReturn.of} return ${returnText(latestReturn)}`,
    Number.isFinite(left) ? `${duration(left)} left` : [],
  ]
    .flat()
    .join(' · ');
}

/** `321 steps/s`; steps that take longer than a second as `3.2 s/step`. */
const pace = (perSecond: number, unit: string): string =>
  perSecond >= 0.75 ? `${grouped(Math.round(perSecond))} ${unit}s/s` : `${(1 / perSecond).toFixed(1)} s/${unit}`;

const returnText = ({ value }: LatestReturn): string =>
  typeof value === 'number' ? returnTexts(value)[0] : beforeAndAfterText(...value);

const grouped = (count: number): string => count.toLocaleString('en-US');

/** Seconds as `m:ss` or `h:mm:ss`. */
function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
