import { remember, remembered } from './storage';

export type ThemeChoice = 'system' | 'dark' | 'light';

/** Dark or light: what was chosen, and what that means now. */
class Theme {
  choice = $state<ThemeChoice>('system');
  #systemDark = $state(true);
  dark = $derived(this.choice === 'system' ? this.#systemDark : this.choice === 'dark');

  constructor() {
    const stored = remembered('theme');
    if (stored === 'dark' || stored === 'light') this.choice = stored;
    const query = matchMedia('(prefers-color-scheme: dark)');
    this.#systemDark = query.matches;
    query.addEventListener('change', () => {
      this.#systemDark = query.matches;
    });
  }

  choose(choice: ThemeChoice): void {
    this.choice = choice;
    remember('theme', choice === 'system' ? null : choice);
    if (choice === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
  }

  /** The next of system, dark and light. */
  cycle(): void {
    const order: ThemeChoice[] = ['system', 'dark', 'light'];
    this.choose(order[(order.indexOf(this.choice) + 1) % order.length] ?? 'system');
  }
}

export const theme = new Theme();
