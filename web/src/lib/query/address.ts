import { router } from '$lib/router/router.svelte';
import type { Question } from './questions';

/** Where a question is answered. */
export function addressOf({ query, page = 'events', range }: Question): string {
  const path = `/dashboard/${page}`;
  return range ? `${path}?${new URLSearchParams({ range, q: query })}` : router.link(path, { q: query });
}
