import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { clockTime, day } from '../format/time';
import { axisLabels } from '../format/units';
import { type Frame, stacked } from './frame';

export type Kind = 'line' | 'stack' | 'bars';

export interface Unknown {
  until: number;
  says: string;
}

export interface PlotOptions {
  kind: Kind;
  frame: Frame;
  /** One colour a line. */
  colors: string[];
  width: number;
  height: number;
  utc: boolean;
  /** The range of the x axis and the present, in seconds, read at each draw. */
  range: () => { from: number; to: number; now: number | null };
  /** Up to when nothing can be known, in seconds, and in words; null where all can. Read at each draw. */
  unknown: () => Unknown | null;
  zoomed: (from: number, to: number) => void;
  reset: () => void;
  pointed: (index: number | null) => void;
}

interface Ink {
  muted: string;
  line: string;
  accent: string;
}

/** Canvas cannot read CSS variables: this resolves the tokens it needs. */
export function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The rows uPlot draws: times, then one array a line. */
export function plotData(kind: Kind, frame: Frame): uPlot.AlignedData {
  const values = kind === 'stack' ? stacked(frame.lines) : frame.lines.map((line) => line.values);
  return [frame.times, ...values];
}

export function createPlot(element: HTMLElement, options: PlotOptions): uPlot {
  const ink: Ink = { muted: token('--muted'), line: token('--line'), accent: token('--accent') };
  const { kind, frame, colors } = options;
  return new uPlot(
    {
      width: options.width,
      height: options.height,
      padding: [8, 12, 0, 0],
      legend: { show: false },
      cursor: {
        sync: { key: 'page' },
        drag: { x: true, y: false, setScale: false },
        points: { size: 6 },
        y: false,
        bind: {
          dblclick: () => () => {
            options.reset();
            return null;
          },
        },
      },
      scales: {
        x: {
          range: () => {
            const { from, to } = options.range();
            return [from, to];
          },
        },
        y: { range: (_plot, low, high) => heights(low, high) },
      },
      axes: [xAxis(ink, options.utc), yAxis(ink, frame.unit)],
      series: [{}, ...colors.map((color, index) => series(kind, color, index, frame.step))],
      bands:
        kind === 'stack'
          ? colors.slice(1).map((color, index) => ({ series: [index + 2, index + 1], fill: faint(color) }))
          : [],
      hooks: {
        setSelect: [(plot) => selected(plot, options)],
        setCursor: [(plot) => options.pointed(plot.cursor.idx ?? null)],
        drawClear: [(plot) => shade(plot, options, ink)],
        draw: [(plot) => drawNow(plot, options, ink)],
      },
    },
    plotData(kind, frame),
    element,
  );
}

/** The range of the y axis: zero is always in it. */
function heights(low: number, high: number): [number, number] {
  const top = high > 0 ? high * 1.1 : 0;
  const bottom = low < 0 ? low * 1.1 : 0;
  return top > bottom ? [bottom, top] : [0, 1];
}

const faint = (color: string) => `${color}38`;

function series(kind: Kind, color: string, index: number, step: number): uPlot.Series {
  const common: uPlot.Series = { stroke: color, width: 1.5, points: { show: false }, spanGaps: false };
  if (kind === 'stack') return { ...common, width: 1, ...(index === 0 ? { fill: faint(color) } : {}) };
  if (kind === 'line' || !uPlot.paths.bars) return common;
  return {
    ...common,
    width: 0,
    fill: color,
    paths: uPlot.paths.bars({
      align: 1,
      size: [1, Number.POSITIVE_INFINITY],
      gap: 1,
      disp: {
        x0: { unit: 1, values: (plot) => [...(plot.data[0] ?? [])] },
        size: { unit: 1, values: () => [step * 0.86] },
      },
    }),
  };
}

function xAxis(ink: Ink, utc: boolean): uPlot.Axis {
  return {
    stroke: ink.muted,
    font: `11px ${token('--font')}`,
    size: 26,
    gap: 4,
    space: 76,
    grid: { show: false },
    ticks: { stroke: ink.line, width: 1, size: 4 },
    values: (_plot, splits, _axis, _space, step) =>
      splits.map((each) => {
        const time = each * 1000;
        if (step >= 86_400) return day(time, utc).slice(5);
        return clockTime(time, utc).slice(0, step >= 60 ? 5 : 8);
      }),
  };
}

function yAxis(ink: Ink, unit: string): uPlot.Axis {
  return {
    stroke: ink.muted,
    font: `11px ${token('--font')}`,
    size: 64,
    gap: 4,
    space: 22,
    grid: { stroke: ink.line, width: 1 },
    ticks: { show: false },
    values: (_plot, splits, _axis, _space, step) => axisLabels(splits, step, unit),
  };
}

function selected(plot: uPlot, options: PlotOptions): void {
  const { left, width } = plot.select;
  if (width < 4) return;
  const from = plot.posToVal(left, 'x');
  const to = plot.posToVal(left + width, 'x');
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  options.zoomed(from, to);
}

/** A dashed line at the present, so that it is plain where the future begins. */
function drawNow(plot: uPlot, options: PlotOptions, ink: Ink): void {
  const { now } = options.range();
  if (now === null) return;
  const x = Math.round(plot.valToPos(now, 'x', true)) + 0.5;
  const { left, top, width, height } = plot.bbox;
  if (x < left || x > left + width) return;
  const { ctx } = plot;
  ctx.save();
  ctx.strokeStyle = ink.accent;
  ctx.setLineDash([4, 4]);
  ctx.beginPath();
  ctx.moveTo(x, top);
  ctx.lineTo(x, top + height);
  ctx.stroke();
  ctx.restore();
}

/** What is not there to be shown is grey, and says so: it is no time in which nothing happened. */
function shade(plot: uPlot, options: PlotOptions, ink: Ink): void {
  const unknown = options.unknown();
  if (!unknown) return;
  const { left, top, width, height } = plot.bbox;
  const end = Math.min(left + width, plot.valToPos(unknown.until, 'x', true));
  if (end - left < 2) return;
  const { ctx } = plot;
  ctx.save();
  ctx.globalAlpha = 0.12;
  ctx.fillStyle = ink.muted;
  ctx.fillRect(left, top, end - left, height);
  ctx.globalAlpha = 1;
  ctx.font = `${11 * devicePixelRatio}px ${token('--font')}`;
  if (ctx.measureText(unknown.says).width + 12 < end - left) {
    ctx.textAlign = 'center';
    ctx.textBaseline = 'middle';
    ctx.fillText(unknown.says, (left + end) / 2, top + height / 2);
  }
  ctx.restore();
}
