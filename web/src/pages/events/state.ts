import { flag, list, oneOf, text, whole } from '$lib/router/params';

export const usualFacets = ['type', 'severity', 'host', 'agent', 'process.name', 'observer', 'publisher'];
export const usualColumns = ['time', 'severity', 'type', 'host', 'message'];

/** What the address of Events holds, beside the time range. */
export const schema = {
  q: text(),
  /** The opened event. */
  event: whole(),
  tab: oneOf(['fields', 'raw', 'around', 'related'], 'fields'),
  cols: list(usualColumns),
  /** The fields whose values are counted. */
  facets: list(usualFacets),
  /** Whether readings of processes are shown though nobody asks for them. */
  readings: flag(false),
  /** The saved query that was opened; with nothing else of a query in the address, the one to open. */
  saved: whole(),
  /** Set by a link that wants the query bar focused; taken away at once. */
  focus: flag(false),
};
