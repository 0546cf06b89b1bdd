import { deviceApi } from '$lib/api/devices';
import { router } from '$lib/router/router.svelte';
import type { Entry } from './entries';

/** How long one types before devices are asked for, in milliseconds. */
const wait = 150;
const most = 8;

/** The devices whose names, addresses and facts have what is typed in the palette; the store knows them. */
export class Found {
  entries = $state.raw<readonly Entry[]>([]);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking: AbortController | null = null;

  want(text: string): void {
    this.stop();
    const words = text.trim();
    if (words.length < 2) {
      this.entries = [];
      return;
    }
    this.#timer = setTimeout(() => void this.#ask(words), wait);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#asking?.abort();
  }

  async #ask(words: string): Promise<void> {
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const { devices } = await deviceApi.list({ filter: words, limit: most }, asking.signal);
      if (asking.signal.aborted) return;
      this.entries = devices.map(
        (device): Entry => ({
          group: 'Device',
          title: device.name,
          note: [device.ip[0] === device.name ? '' : device.ip[0], device.vendor].filter(Boolean).join(', '),
          icon: 'devices',
          run: () => router.go(router.link('/dashboard/devices', { device: device.uid })),
        }),
      );
    } catch {
      // Devices are one thing among others there: without a store the rest serves.
      if (!asking.signal.aborted) this.entries = [];
    }
  }
}
