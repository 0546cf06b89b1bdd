import { remember, remembered } from './storage';

export type TimeDisplay = 'relative' | 'local' | 'utc';

/** What this person likes in this browser, beyond the theme. */
class Preferences {
  timeDisplay = $state<TimeDisplay>('relative');
  railCollapsed = $state(remembered('rail') === 'collapsed');
  facetsHidden = $state(remembered('facets') === 'hidden');

  constructor() {
    const stored = remembered('time');
    if (stored === 'local' || stored === 'utc') this.timeDisplay = stored;
  }

  showTimes(display: TimeDisplay): void {
    this.timeDisplay = display;
    remember('time', display);
  }

  toggleRail(): void {
    this.railCollapsed = !this.railCollapsed;
    remember('rail', this.railCollapsed ? 'collapsed' : null);
  }

  toggleFacets(): void {
    this.facetsHidden = !this.facetsHidden;
    remember('facets', this.facetsHidden ? 'hidden' : null);
  }
}

export const preferences = new Preferences();
