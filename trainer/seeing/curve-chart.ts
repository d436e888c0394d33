/** Learning curves as a Vega-Lite chart: a line through the means, a band for the spread, one colour a series, one panel an environment. */

import type { TopLevelSpec } from 'vega-lite';
import { fontFamilies } from './drawing.ts';

export type CurvePoint = {
  readonly step: number;
  readonly mean: number;
  /** The band is this far on either side. */
  readonly spread: number;
};

export type Curve = { readonly label: string; readonly points: readonly CurvePoint[] };

/** Curves that share their axes. */
export type Panel = {
  readonly title: string;
  /** For example, what the band shows. */
  readonly subtitle: string;
  readonly stepTitle: string;
  readonly valueTitle: string;
  readonly curves: readonly Curve[];
};

const panelSize = { width: 560, height: 320 };
const columnCount = 2;
/** Labels are shown whole up to this width. */
const legendLabelWidthMax = 480;
/** A curve of few points shows where they are. */
const markedPointCountMax = 40;

/** @returns one panel, or several in two columns; the colours of equal labels are equal */
export function curveChart(panels: readonly Panel[]): TopLevelSpec {
  const labels = [...new Set(panels.flatMap(({ curves }) => curves.map(({ label }) => label)))];
  const drawn = panels.map((panel) => panelChart(panel, labels));
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
        labelLimit: legendLabelWidthMax,
        title: null,
        symbolType: 'stroke',
        symbolStrokeWidth: 3,
        symbolOpacity: 1,
      },
    },
    ...(drawn.length === 1 ? drawn[0]! : { concat: drawn, columns: columnCount, spacing: 28 }),
  };
}

function panelChart({ title, subtitle, stepTitle, valueTitle, curves }: Panel, labels: readonly string[]) {
  const values = curves.flatMap(({ label, points }) =>
    points.map(({ step, mean, spread }) => ({ label, step, mean, low: mean - spread, high: mean + spread })),
  );
  const isMarked = curves.every(({ points }) => points.length <= markedPointCountMax);
  const x = {
    field: 'step',
    type: 'quantitative' as const,
    title: stepTitle,
    scale: { nice: false },
    axis: { labelExpr: "datum.value === 0 ? '0' : format(datum.value, '~s')", tickCount: 6, grid: false },
  };
  const y = {
    type: 'quantitative' as const,
    title: valueTitle,
    scale: { zero: false },
    axis: { tickCount: 6, format: ',~f' },
  };
  const color = {
    field: 'label',
    type: 'nominal' as const,
    scale: { domain: [...labels], scheme: 'tableau10' as const },
    ...(labels.length === 1 && { legend: null }),
  };
  return {
    ...panelSize,
    // The width of a line of text is only estimated, and decides that of the picture.
    title: { text: title, subtitle: subtitle.split(/(?<=,) /) },
    data: { values },
    layer: [
      {
        mark: { type: 'area' as const, opacity: 0.18 },
        encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' }, color },
      },
      {
        mark: {
          type: 'line' as const,
          strokeWidth: 2,
          strokeJoin: 'round' as const,
          ...(isMarked && { point: { size: 22 } }),
        },
        encoding: { x, y: { ...y, field: 'mean' }, color },
      },
    ],
  };
}
