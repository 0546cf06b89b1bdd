import { untrack } from 'svelte';

export interface Shortcut {
  /** As typed: "/", "?", "j", "g o". */
  keys: string;
  does: string;
  group: 'Anywhere' | 'Go to' | 'Lists' | 'This page';
  run: () => void;
}

/** The keys that work now. The newest wins where two say the same. */
class Keys {
  list = $state.raw<Shortcut[]>([]);
  #leader = '';
  #leaderAt = 0;

  /** Adds shortcuts until the returned function is called. */
  add(shortcuts: Shortcut[]): () => void {
    // Whoever adds keys in an effect does not depend on what others add.
    untrack(() => {
      this.list = [...this.list, ...shortcuts];
    });
    return () => {
      this.list = this.list.filter((each) => !shortcuts.includes(each));
    };
  }

  handle(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyping(event.target) || document.querySelector('dialog[open]')) return;
    const key = event.key;
    if (key === 'Enter' && isPressable(event.target)) return;
    const sequence = this.#leader && event.timeStamp - this.#leaderAt < 1500 ? `${this.#leader} ${key}` : key;
    this.#leader = '';
    const found = this.list.findLast((each) => each.keys === sequence);
    if (found) {
      event.preventDefault();
      found.run();
      return;
    }
    if (this.list.some((each) => each.keys.startsWith(`${key} `))) {
      this.#leader = key;
      this.#leaderAt = event.timeStamp;
    }
  }
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && target.closest('input, textarea, select, [contenteditable]') !== null
  );
}

/** Enter on these has a meaning of its own. */
function isPressable(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest('button, a, summary, [role="tab"]') !== null;
}

export const keys = new Keys();
