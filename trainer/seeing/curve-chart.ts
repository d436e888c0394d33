/**
 * Learning curves as a Vega-Lite chart: a line through the means, a band for the spread, one colour a series, one panel an environment. A curve
 * of one point has an error bar.
 */

import type { TopLevelSpec } from 'vega-lite';
import { fontFamilies } from './drawing.ts';
import { thinned } from './thinned-points.ts';

export type CurvePoint = {
  readonly step: number;
  readonly mean: number;
  /** The band is this far on either side. */
  readonly spread: number;
};

export type Curve = {
  readonly label: string;
  readonly points: readonly CurvePoint[];
  /** What tells curves of one label apart: the first phase of a chart is a whole line, as are curves without one; others are broken. */
  readonly phase?: string;
};

/** Curves that share their axes. */
export type Panel = {
  readonly title: string;
  /** For example, what the band shows. */
  readonly subtitle: string;
  readonly stepTitle: string;
  /** Whether steps may lie between whole numbers; they are counts unless given. */
  readonly isFractional?: boolean;
  readonly valueTitle: string;
  /** Least and largest that a value may have: the axis has both, and bands end there. Around the values unless given. */
  readonly valueRange?: readonly [low: number, high: number];
  readonly curves: readonly Curve[];
};

const panelSize = { width: 560, height: 320 };
const columnCount = 2;
/** Longer labels of the legend have several lines, which end after a comma. */
const labelLineLengthMax = 64;
/** A curve of few points shows where they are. */
const markedPointCountMax = 40;
/** Bands lie over each other, so those of many curves are fainter. */
const bandOpacity = (curveCount: number): number => Math.min(0.18, 0.36 / curveCount);

/** @returns one panel, or several in two columns; the colours of equal labels are equal */
export function curveChart(panels: readonly Panel[]): TopLevelSpec {
  const labels = [...new Set(panels.flatMap(({ curves }) => curves.map(({ label }) => inLines(label))))];
  const phases = [...new Set(panels.flatMap(({ curves }) => curves.flatMap(({ phase }) => phase ?? [])))];
  const drawn = panels.map((panel) => panelChart(panel, labels, phases));
  return {
    background: 'white',
    padding: 12,
    config: {
      font: fontFamilies,
      view: { stroke: null },
      title: { anchor: 'start', fontSize: 15, subtitleFontSize: 11, subtitleColor: '#555555', offset: 10 },
      axis: { gridColor: '#e6e6e6', domainColor: '#888888', tickColor: '#888888', titleFontWeight: 'normal' },
      legend: {
        orient: 'bottom',
        direction: 'vertical',
        labelLimit: 0,
        title: null,
        symbolType: 'stroke',
        symbolStrokeWidth: 3,
        symbolOpacity: 1,
      },
    },
    ...(drawn.length === 1 ? drawn[0]! : { concat: drawn, columns: columnCount, spacing: 28 }),
  };
}

/** Of a legend's label. */
const lineEnd = '\n';

function inLines(label: string): string {
  const lines = [''];
  for (const part of label.split(/(?<=, )/)) {
    if (lines.at(-1)!.length + part.length > labelLineLengthMax) lines.push('');
    lines[lines.length - 1] += part;
  }
  return lines
    .map((line) => line.trimEnd())
    .filter((line) => line !== '')
    .join(lineEnd);
}

function panelChart(panel: Panel, labels: readonly string[], phases: readonly string[]) {
  const { title, subtitle, curves } = panel;
  const { x, y } = axes(panel);
  const color = {
    field: 'label',
    type: 'nominal' as const,
    scale: { domain: [...labels], scheme: 'tableau10' as const },
    legend: labels.length === 1 ? null : { labelExpr: `split(datum.label, ${JSON.stringify(lineEnd)})` },
  };
  const hasPhases = phases.length > 0;
  const band = {
    mark: { type: 'area' as const, opacity: bandOpacity(curves.length) },
    encoding: {
      x,
      y: { ...y, field: 'low' },
      y2: { field: 'high' },
      color,
      ...(hasPhases && { detail: { field: 'phase', type: 'nominal' as const } }),
    },
  };
  const line = {
    mark: { type: 'line' as const, strokeWidth: 2, strokeJoin: 'round' as const },
    encoding: { x, y: { ...y, field: 'mean' }, color, ...(hasPhases && lineStyle(phases)) },
  };
  // Not as points of the line: then the phases' legend would show points.
  const marks = {
    mark: { type: 'point' as const, filled: true, size: 22, opacity: 1 },
    encoding: { x, y: { ...y, field: 'mean' }, color },
  };
  const bar = {
    transform: [{ filter: 'datum.isAlone' }],
    mark: { type: 'rule' as const, strokeWidth: 2, opacity: 0.5 },
    encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' }, color },
  };
  const isMarked = curves.every(({ points }) => points.length <= markedPointCountMax);
  return {
    ...panelSize,
    // The width of a line of text is only estimated, and decides that of the picture.
    title: { text: title, subtitle: subtitle.split(/(?<=,) /) },
    data: { values: valuesOf(panel, phases) },
    layer: isMarked ? [band, line, bar, marks] : [band, line],
  };
}

/** The points of all curves that are drawn, as Vega-Lite reads them. */
const valuesOf = ({ curves, valueRange: [least, largest] = [-Infinity, Infinity] }: Panel, phases: readonly string[]) =>
  curves.flatMap(({ label, phase, points }) =>
    thinned(points).map(({ step, mean, spread }) => ({
      label: inLines(label),
      phase: phase ?? phases[0],
      step,
      mean,
      low: Math.max(mean - spread, least),
      high: Math.min(mean + spread, largest),
      isAlone: points.length === 1 && spread > 0,
    })),
  );

const axes = ({ stepTitle, isFractional = false, valueTitle, valueRange }: Panel) => ({
  x: {
    field: 'step',
    type: 'quantitative' as const,
    title: stepTitle,
    scale: { nice: false },
    axis: {
      ...(isFractional
        ? { format: ',~f' }
        : { labelExpr: "format(datum.value, datum.value < 1000 ? 'd' : '~s')", tickMinStep: 1 }),
      tickCount: 6,
      grid: false,
    },
  },
  y: {
    type: 'quantitative' as const,
    title: valueTitle,
    scale: { zero: false, ...(valueRange !== undefined && { domain: [...valueRange] }) },
    axis: { tickCount: 6, format: ',~f' },
  },
});

const lineStyle = (phases: readonly string[]) => ({
  strokeDash: {
    field: 'phase',
    type: 'nominal' as const,
    scale: { domain: [...phases], range: phases.map((_, i) => (i === 0 ? [1, 0] : [5, 4])) },
    legend: { symbolStrokeColor: '#444444', symbolStrokeWidth: 2, symbolSize: 900 },
  },
});
