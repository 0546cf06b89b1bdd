import { queryString } from '$lib/api/client';
import { parseRange, sinceUntil } from '$lib/router/timerange';
import { searchOf, searchQuery } from '../pages/events/ask';
import { schema } from '../pages/events/state';
import { seriesQuery } from '../pages/overview/ask';

/** What the page at an address asks for first, as its code will. */
export function firstAsks(path: string, search: string): string[] {
  if (!path.startsWith('/dashboard')) return ['/api/session'];
  const params = new URLSearchParams(search);
  const range = parseRange(params);
  const asks = ['/api/session', `/api/overview${queryString(sinceUntil(range))}`];
  if (path === '/dashboard') asks.push(`/api/series${queryString({ ...seriesQuery(range, 0) })}`);
  if (path === '/dashboard/events') {
    const query = params.get('q') ?? '';
    const facets = schema.facets.parse(params.get('facets'));
    const search = searchOf(query, params.get('readings') === '1');
    asks.push(`/api/events${queryString({ ...searchQuery(search, range, facets) })}`);
  }
  return asks;
}
