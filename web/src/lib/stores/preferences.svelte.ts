import { remember, remembered } from './storage';

export type TimeDisplay = 'relative' | 'local' | 'utc';

/** Narrow screens have no room for values until they are asked for. */
function facetsHiddenAtFirst(): boolean {
  const stored = remembered('facets');
  return stored === null ? matchMedia('(max-width: 900px)').matches : stored === 'hidden';
}

/** What this person likes in this browser, beyond the theme. */
class Preferences {
  /** How the times of events are written; ages are always relative. */
  timeDisplay = $state<TimeDisplay>('local');
  railCollapsed = $state(remembered('rail') === 'collapsed');
  facetsHidden = $state(facetsHiddenAtFirst());

  constructor() {
    const stored = remembered('time');
    if (stored === 'relative' || stored === 'utc') this.timeDisplay = stored;
  }

  showTimes(display: TimeDisplay): void {
    this.timeDisplay = display;
    remember('time', display === 'local' ? null : display);
  }

  /** The next of local, UTC and relative. */
  cycleTimes(): void {
    const order: TimeDisplay[] = ['local', 'utc', 'relative'];
    this.showTimes(order[(order.indexOf(this.timeDisplay) + 1) % order.length] ?? 'local');
  }

  toggleRail(): void {
    this.railCollapsed = !this.railCollapsed;
    remember('rail', this.railCollapsed ? 'collapsed' : null);
  }

  toggleFacets(): void {
    this.facetsHidden = !this.facetsHidden;
    remember('facets', this.facetsHidden ? 'hidden' : 'shown');
  }
}

export const preferences = new Preferences();
