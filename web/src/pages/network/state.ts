import { flag, oneOf, text, whole } from '$lib/router/params';

export const tabs = ['map', 'flows', 'apps', 'tls', 'ja4', 'dns', 'findings'] as const;
export type NetworkTab = (typeof tabs)[number];

export const tabNames: Readonly<Record<NetworkTab, string>> = {
  map: 'Map',
  flows: 'Flows',
  apps: 'Applications',
  tls: 'TLS',
  ja4: 'JA4',
  dns: 'DNS',
  findings: 'Findings',
};

/** What the address of Network holds, beside the time range. */
export const schema = {
  q: text(),
  tab: oneOf(tabs, 'map'),
  /** What of the map is chosen: see selection.ts. */
  sel: text(),
  /** The opened flow, by the offset of its event. */
  event: whole(),
  /** Flows that have ended, which are counted, or those that are open now. */
  flows: oneOf(['ended', 'open'], 'ended'),
  /** Whether flows of replayed captures are among them. */
  captures: flag(false),
  /** Set by a link that wants the query bar focused; taken away at once. */
  focus: flag(false),
};
