import type { DeviceMark, MarksChange } from '$lib/api/devices';

/** What a mark is after a change, as the server will make it. */
export function applied(mark: DeviceMark, change: MarksChange): DeviceMark {
  const before = mark;
  const removed = new Set(change.remove_tags ?? []);
  const tags = [...before.tags, ...(change.add_tags ?? [])].filter((tag) => !removed.has(tag));
  return {
    ...before,
    known: change.known ?? before.known,
    owner: change.owner ?? before.owner,
    note: change.note ?? before.note,
    tags: [...new Set(tags)].sort(),
  };
}

/** Tags as people type them: by commas or blanks. */
export function tagsOf(text: string): string[] {
  return [...new Set(text.split(/[\s,]+/).filter(Boolean))];
}
