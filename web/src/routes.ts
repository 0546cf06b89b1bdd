import type { Component } from 'svelte';
import type { IconName } from '$lib/ui/Icon.svelte';

/** A page of the dashboard: one line here is all the shell needs to know. */
export interface Route {
  path: string;
  title: string;
  icon: IconName;
  /** Typed after `g`. */
  key: string;
  /** Whether the page looks at a time range. */
  timed: boolean;
  load: () => Promise<{ default: Component }>;
}

export const routes: readonly Route[] = [
  {
    path: '/dashboard',
    title: 'Overview',
    icon: 'overview',
    key: 'o',
    timed: true,
    load: () => import('./pages/overview/Overview.svelte'),
  },
  {
    path: '/dashboard/agents',
    title: 'Agents',
    icon: 'agents',
    key: 'a',
    timed: false,
    load: () => import('./pages/agents/Agents.svelte'),
  },
  {
    path: '/dashboard/events',
    title: 'Events',
    icon: 'events',
    key: 'e',
    timed: true,
    load: () => import('./pages/events/Events.svelte'),
  },
];

/** The page at an address, whatever slash it ends with. */
export function routeAt(path: string): Route | undefined {
  const plain = path.replace(/\/+$/, '') || '/dashboard';
  return routes.find((route) => route.path === plain);
}
