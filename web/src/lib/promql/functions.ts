/** What can be written in a query beside names: how it is called, and what it gives. */
export interface Known {
  name: string;
  /** What stands between its brackets. */
  takes: string;
  about: string;
  kind: 'function' | 'aggregation';
}

const aggregations: readonly (readonly [string, string, string])[] = [
  ['sum', 'v', 'all values added up'],
  ['avg', 'v', 'the mean of all values'],
  ['min', 'v', 'the lowest value'],
  ['max', 'v', 'the highest value'],
  ['count', 'v', 'how many series there are'],
  ['topk', 'k, v', 'the k series with the highest values'],
  ['bottomk', 'k, v', 'the k series with the lowest values'],
  ['quantile', 'q, v', 'the value below which the share q of all lies'],
  ['stddev', 'v', 'how far values lie from their mean'],
  ['stdvar', 'v', 'the variance of values'],
  ['group', 'v', '1 for each group that has series'],
  ['count_values', '"label", v', 'how many series have each value'],
];

const functions: readonly (readonly [string, string, string])[] = [
  ['rate', 'v[5m]', 'growth of a counter, a second, over a range'],
  ['irate', 'v[5m]', 'growth a second between the last two readings'],
  ['increase', 'v[5m]', 'growth of a counter in a range'],
  ['delta', 'v[5m]', 'difference between end and start of a range, of a gauge'],
  ['idelta', 'v[5m]', 'difference between the last two readings'],
  ['deriv', 'v[5m]', 'slope of a gauge, a second'],
  ['predict_linear', 'v[1h], seconds', 'where a gauge will be if it goes on so'],
  ['avg_over_time', 'v[5m]', 'mean of a range'],
  ['min_over_time', 'v[5m]', 'lowest value of a range'],
  ['max_over_time', 'v[5m]', 'highest value of a range'],
  ['sum_over_time', 'v[5m]', 'all values of a range added up'],
  ['count_over_time', 'v[5m]', 'how many readings a range has'],
  ['quantile_over_time', 'q, v[5m]', 'quantile of the values of a range'],
  ['stddev_over_time', 'v[5m]', 'how far values of a range lie from their mean'],
  ['stdvar_over_time', 'v[5m]', 'variance of the values of a range'],
  ['last_over_time', 'v[5m]', 'last value of a range'],
  ['present_over_time', 'v[5m]', '1 where a range has any reading'],
  ['absent_over_time', 'v[5m]', '1 where a range has no reading'],
  ['changes', 'v[5m]', 'how often a value changed in a range'],
  ['resets', 'v[5m]', 'how often a counter began anew in a range'],
  ['histogram_quantile', 'q, v', 'quantile of a histogram'],
  ['histogram_avg', 'v', 'mean of a native histogram'],
  ['histogram_count', 'v', 'count of a native histogram'],
  ['histogram_sum', 'v', 'sum of a native histogram'],
  ['histogram_fraction', 'low, high, v', 'share of a histogram between two values'],
  ['absent', 'v', '1 where nothing is found'],
  ['scalar', 'v', 'the value of the only series'],
  ['vector', 's', 'a number as a series without labels'],
  ['label_replace', 'v, "to", "$1", "from", "(.*)"', 'a label made from another one'],
  ['label_join', 'v, "to", ",", "from"', 'a label made of several'],
  ['sort', 'v', 'lowest values first'],
  ['sort_desc', 'v', 'highest values first'],
  ['time', '', 'the time of the reading, in seconds since 1970'],
  ['timestamp', 'v', 'when each reading was taken'],
  ['abs', 'v', 'without sign'],
  ['ceil', 'v', 'rounded up'],
  ['floor', 'v', 'rounded down'],
  ['round', 'v, to', 'rounded to the nearest multiple'],
  ['clamp', 'v, low, high', 'kept between two numbers'],
  ['clamp_min', 'v, low', 'at least'],
  ['clamp_max', 'v, high', 'at most'],
  ['exp', 'v', 'e to the power'],
  ['ln', 'v', 'natural logarithm'],
  ['log2', 'v', 'logarithm to base 2'],
  ['log10', 'v', 'logarithm to base 10'],
  ['sqrt', 'v', 'square root'],
  ['sgn', 'v', '1, 0 or -1 by the sign'],
  ['day_of_month', 'v', 'day of the month, in UTC'],
  ['day_of_week', 'v', 'day of the week, Sunday is 0, in UTC'],
  ['day_of_year', 'v', 'day of the year, in UTC'],
  ['days_in_month', 'v', 'how many days the month has'],
  ['hour', 'v', 'hour of the day, in UTC'],
  ['minute', 'v', 'minute of the hour, in UTC'],
  ['month', 'v', 'month, January is 1, in UTC'],
  ['year', 'v', 'year, in UTC'],
];

export const known: readonly Known[] = [
  ...aggregations.map(([name, takes, about]) => ({ name, takes, about, kind: 'aggregation' as const })),
  ...functions.map(([name, takes, about]) => ({ name, takes, about, kind: 'function' as const })),
];

/** Words that stand behind an aggregation or between two operands, and before labels. */
export const labelWords = ['by', 'without', 'on', 'ignoring', 'group_left', 'group_right'] as const;
export const words = [...labelWords, 'and', 'or', 'unless', 'offset', 'bool', 'atan2'] as const;

export const durations = ['1m', '5m', '15m', '1h', '6h', '1d', '7d'] as const;
