import { request } from './client';

/** Prometheus' HTTP API v1, as the store answers it through the dashboard. */
const root = '/prometheus/api/v1';

export type Labels = Record<string, string>;
/** A time in seconds since 1970, and a value in digits, or "NaN", "+Inf", "-Inf". */
export type Point = [number, string];

export interface RangeSeries {
  metric: Labels;
  values?: Point[];
  histograms?: unknown[];
}

export interface InstantSeries {
  metric: Labels;
  value?: Point;
  histogram?: unknown;
}

export type QueryData =
  | { resultType: 'matrix'; result: RangeSeries[] }
  | { resultType: 'vector'; result: InstantSeries[] }
  | { resultType: 'scalar' | 'string'; result: Point };

/** What every answer stands in. */
export interface Envelope<T> {
  status: 'success';
  data: T;
  warnings?: string[];
  infos?: string[];
}

export interface Metadata {
  type: string;
  help: string;
  unit: string;
}

export interface RangeQuery {
  query: string;
  /** Seconds since 1970. */
  start: number;
  end: number;
  /** Seconds. */
  step: number;
}

/** A rule of a group: one that alerts has a state, and the alerts that are pending or fire. */
export interface Rule {
  name: string;
  query: string;
  type: 'alerting' | 'recording';
  health: 'ok' | 'err' | 'unknown';
  lastError?: string;
  /** Seconds. */
  evaluationTime: number;
  lastEvaluation: string;
  state?: 'inactive' | 'pending' | 'firing';
  /** How long it has to be so, in seconds. */
  duration?: number;
  alerts?: Alert[] | null;
}

export interface Alert {
  labels: Labels;
  annotations: Labels;
  state: 'pending' | 'firing';
  activeAt: string;
  /** Since when it is over and fires on, as its rule says. */
  keepFiringSince?: string;
  value: string;
}

export interface RuleGroup {
  name: string;
  file: string;
  rules: Rule[];
  /** Seconds between two evaluations, and of the last one. */
  interval: number;
  evaluationTime: number;
  lastEvaluation: string;
}

/** Every call of that API that pages make. */
export const prometheus = {
  range: ({ query, start, end, step }: RangeQuery, signal?: AbortSignal) =>
    request<Envelope<QueryData>>(`${root}/query_range`, { query: { query, start, end, step }, signal }),
  instant: (query: string, time: number, signal?: AbortSignal) =>
    request<Envelope<QueryData>>(`${root}/query`, { query: { query, time }, signal }),
  rules: (signal?: AbortSignal) => request<Envelope<{ groups: RuleGroup[] }>>(`${root}/rules`, { signal }),
  metadata: (signal?: AbortSignal) =>
    request<Envelope<Record<string, Metadata[]>>>(`${root}/metadata`, { signal }),
  names: (signal?: AbortSignal) => request<Envelope<string[]>>(`${root}/label/__name__/values`, { signal }),
  labels: (selector: string, signal?: AbortSignal) =>
    request<Envelope<string[]>>(`${root}/labels`, { query: { 'match[]': selector }, signal }),
  values: (label: string, selector: string, signal?: AbortSignal) =>
    request<Envelope<string[]>>(`${root}/label/${encodeURIComponent(label)}/values`, {
      query: { 'match[]': selector },
      signal,
    }),
};
