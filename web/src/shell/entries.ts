import type { Agent } from '$lib/api/types';
import type { IconName } from '$lib/ui/Icon.svelte';

/** One thing the palette can do. */
export interface Entry {
  group: string;
  title: string;
  note: string;
  icon: IconName;
  run: () => void;
}

/** Entries in which every word occurs, in order of how early the first does. */
export function search(entries: readonly Entry[], text: string, most = 50): Entry[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return entries.slice(0, most);
  const ranked: { entry: Entry; rank: number }[] = [];
  for (const entry of entries) {
    const title = entry.title.toLowerCase();
    const all = `${title} ${entry.note} ${entry.group}`.toLowerCase();
    if (!words.every((word) => all.includes(word))) continue;
    const at = title.indexOf(words[0] ?? '');
    ranked.push({ entry, rank: at < 0 ? 1000 : at });
  }
  return ranked
    .sort((a, b) => a.rank - b.rank)
    .slice(0, most)
    .map((each) => each.entry);
}

/** The hosts that agents report from, each once, in order. */
export function hostsOf(agents: readonly Agent[]): string[] {
  return [...new Set(agents.map((agent) => agent.host))].sort();
}
