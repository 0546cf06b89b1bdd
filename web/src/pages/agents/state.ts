import { flag, list, oneOf, text } from '$lib/router/params';
import { usualColumns } from './columns';

/** What the address of Agents holds. */
export const schema = {
  q: text(),
  health: oneOf(['all', 'red', 'yellow', 'unknown', 'green'], 'all'),
  sort: text('id'),
  flat: flag(false),
  cols: list(usualColumns),
  /** The agent shown beside the list, as host/id. */
  agent: text(),
  tab: oneOf(['facts', 'metrics', 'logs', 'tasks'], 'facts'),
  /** What is to be asked for at once, when the palette led here. */
  ask: oneOf(['', 'stop'], ''),
};
