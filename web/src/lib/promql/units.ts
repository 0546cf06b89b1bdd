import type { Catalog } from './complete';
import { metricOf } from './place';
import { tokenize } from './tokens';

/** What turns a counter into its growth a second. */
const rates = new Set(['rate', 'irate', 'deriv']);
/** What gives a number of another kind than its argument. */
const others = new Set([
  ...['count', 'count_values', 'group', 'count_over_time', 'changes', 'resets', 'time', 'timestamp'],
  ...['absent', 'absent_over_time', 'present_over_time', 'ln', 'log2', 'log10', 'sgn', 'stdvar'],
  ...['histogram_count', 'histogram_fraction', 'stdvar_over_time'],
]);

const written: Record<string, string> = {
  bytes: 'bytes',
  By: 'bytes',
  seconds: 's',
  s: 's',
  percent: 'percent',
  '%': 'percent',
  ms: 'ms',
  eps: '1/s',
};

/** The unit of what a query gives, by the metric it names and what is done to it; empty where that is not plain. */
export function unitOf(query: string, metadata: Catalog['metadata']): string {
  const tokens = tokenize(query);
  let rated = false;
  for (const [index, token] of tokens.entries()) {
    if (token.kind === 'mark' && /^(?:[*/%^<>]|[=!<>]=)$/.test(token.text)) return '';
    if (token.kind !== 'name' || tokens[index + 1]?.text !== '(') continue;
    if (others.has(token.text)) return '';
    rated ||= rates.has(token.text);
  }
  const metric = metricOf(tokens);
  if (!metric) return '';
  const unit = unitOfMetric(metric, metadata[metric]?.[0]?.unit ?? '');
  if (!rated) return unit;
  if (unit === 'bytes') return 'By/s';
  // Seconds in a second are a share; anything else is counted by the second.
  return unit === 's' ? '' : '1/s';
}

function unitOfMetric(name: string, said: string): string {
  // A moment is no length of time.
  if (/_(timestamp|time)_seconds$/.test(name)) return '';
  const inName = /_(bytes|seconds|percent|ms|eps)(_total|_sum|_in|_out)?$/.exec(name)?.[1] ?? '';
  return written[said || inName] ?? '';
}
