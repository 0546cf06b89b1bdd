import type { Component } from 'svelte';
import type { Role } from '$lib/api/types';
import { overview } from '$lib/stores/overview.svelte';
import type { IconName } from '$lib/ui/Icon.svelte';

/** A page of the dashboard: one entry here and a folder in pages are all it takes. */
export interface Route {
  path: string;
  title: string;
  icon: IconName;
  /** Typed after `g`. */
  key: string;
  /** Whether the page looks at a time range. */
  timed: boolean;
  /** The least role that sees it. */
  role: Role;
  /** What waits there for a person, and in words; 0 shows no badge. */
  badge?: () => { count: number; says: string; urgent: boolean };
  load: () => Promise<{ default: Component }>;
}

export const routes: readonly Route[] = [
  {
    path: '/dashboard',
    title: 'Overview',
    icon: 'overview',
    key: 'o',
    timed: true,
    role: 'viewer',
    load: () => import('./pages/overview/Overview.svelte'),
  },
  {
    path: '/dashboard/agents',
    title: 'Agents',
    icon: 'agents',
    key: 'a',
    timed: false,
    role: 'viewer',
    badge: () => overview.waiting,
    load: () => import('./pages/agents/Agents.svelte'),
  },
  {
    path: '/dashboard/events',
    title: 'Events',
    icon: 'events',
    key: 'e',
    timed: true,
    role: 'viewer',
    load: () => import('./pages/events/Events.svelte'),
  },
  {
    path: '/dashboard/network',
    title: 'Network',
    icon: 'network',
    key: 'n',
    timed: true,
    role: 'viewer',
    load: () => import('./pages/network/Network.svelte'),
  },
  {
    path: '/dashboard/devices',
    title: 'Devices',
    icon: 'devices',
    key: 'd',
    timed: false,
    role: 'viewer',
    load: () => import('./pages/devices/Devices.svelte'),
  },
  {
    path: '/dashboard/metrics',
    title: 'Metrics',
    icon: 'chart',
    key: 'm',
    timed: true,
    role: 'viewer',
    load: () => import('./pages/metrics/Metrics.svelte'),
  },
  {
    path: '/dashboard/findings',
    title: 'Findings',
    icon: 'findings',
    key: 'f',
    timed: true,
    role: 'viewer',
    load: () => import('./pages/findings/Findings.svelte'),
  },
  {
    path: '/dashboard/settings',
    title: 'Settings',
    icon: 'settings',
    key: 's',
    timed: false,
    role: 'viewer',
    load: () => import('./pages/settings/Settings.svelte'),
  },
];

/** The pages that a person sees. */
export function routesFor(may: (role: Role) => boolean): readonly Route[] {
  return routes.filter((route) => may(route.role));
}

/** The page at an address, whatever slash it ends with. */
export function routeAt(path: string): Route | undefined {
  const plain = path.replace(/\/+$/, '') || '/dashboard';
  return routes.find((route) => route.path === plain);
}
