import { withFilter, withoutFilter } from '$lib/query/edit';
import { router } from '$lib/router/router.svelte';
import { schema } from './state';

type Value = string | number | boolean;

/** Changes of the query that clicks on values make. */
export const filters = {
  include: (field: string, value: Value) => change((query) => withFilter(query, field, value)),
  exclude: (field: string, value: Value) => change((query) => withFilter(query, field, value, true)),
  remove: (field: string, value: string) => change((query) => withoutFilter(query, field, value)),
};

function change(edit: (query: string) => string): void {
  router.set(schema, { q: edit(router.values(schema).q), event: null });
}
