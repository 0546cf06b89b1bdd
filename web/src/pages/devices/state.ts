import { flag, list, oneOf, text } from '$lib/router/params';
import { usualColumns } from './columns';

export const tabs = ['list', 'topology'] as const;
export const details = ['facts', 'ports', 'snmp', 'changes'] as const;
export type DetailTab = (typeof details)[number];

/** What the address of Devices holds. */
export const schema = {
  /** In the language of the server's filter: see filter.ts. */
  q: text(),
  tab: oneOf(tabs, 'list'),
  /** Devices that people have not marked yet, that are new, or that they know. */
  mark: oneOf(['all', 'new', 'unknown', 'known'], 'all'),
  tag: text(),
  /** The chosen device, by its uid. */
  device: text(),
  view: oneOf(details, 'facts'),
  sort: text('-last'),
  cols: list(usualColumns),
  /** Whether the form that scans is open. */
  scan: flag(false),
};
