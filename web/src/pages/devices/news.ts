import { live } from '$lib/live/live.svelte';

/** What the inventory is told to be, as far as it says whether something has changed. */
interface State {
  total: number;
  down: number;
}

/**
 * Calls `again` when devices, or what people say of them, are others than before; `fewer`
 * says that some went silent or are no more, which those seen last do not show. Returns
 * the end of it.
 */
export function followDevices(again: (fewer: boolean) => void): () => void {
  let before: State | null = null;
  return live.subscribe({ topic: 'devices' }, (message) => {
    if (message.type !== 'devices') return;
    const fewer = before !== null && (message.down !== before.down || message.total < before.total);
    const first = before === null;
    before = message;
    if (!first && !document.hidden) again(fewer);
  });
}
