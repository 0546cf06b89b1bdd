import { explain, isAbort } from '$lib/api/client';
import {
  type Device,
  type DeviceMark,
  type DevicesAnswer,
  deviceApi,
  type MarksChange,
} from '$lib/api/devices';
import { Loadable } from '$lib/stores/loadable.svelte';
import { notices } from '$lib/stores/notices.svelte';
import { asksMarks } from './filter';
import { applied } from './marking';
import { followDevices } from './news';

/** The first rows come soon; the others in as few answers as the server gives. */
const firstPage = 200;
const otherPages = 1000;
/** A tab holds so many devices; of more it shows those seen last. */
export const mostDevices = 20_000;
/** The server takes so many at once. */
const mostMarked = 10_000;
/** Changes are told live; this is for what is told nowhere, and for when nothing is live. */
const refreshEvery = 30_000;
/** What goes silent is not among those seen last: now and then all are asked for. */
const allEvery = 300_000;
/** Of so many, all are asked for each time where the filter asks for marks: others may have changed them. */
const fewEnough = 2000;

/** The devices that match a filter: all of them, as far as a tab can hold them. */
export class InventoryList {
  loaded = new Loadable<DevicesAnswer>(() => this.load());
  list = $state.raw<readonly Device[]>([]);
  /** Whether more of them are on their way. */
  filling = $state(false);
  /** Why the rest did not come. */
  lack = $state('');
  #filter = '';
  #known = new Map<string, Device>();
  #rest: AbortController | null = null;
  #allAt = 0;
  /** Something changed while the list was asked for. */
  #again = false;

  /** Follows the devices that match. Returns its end. */
  start(filter: string): () => void {
    this.#filter = filter;
    void this.load();
    const timer = setInterval(() => {
      if (!document.hidden && !this.loaded.loading && !this.filling && !this.loaded.error)
        void this.refresh();
    }, refreshEvery);
    const unfollow = followDevices((fewer) => {
      if (fewer) this.#allAt = 0;
      if (!this.loaded.loading && !this.filling) void this.refresh();
      else this.#again = true;
    });
    return () => {
      clearInterval(timer);
      unfollow();
      this.#rest?.abort();
      this.loaded.cancel();
    };
  }

  /** Asks for all of them; what stands there stays until the first of them are here. */
  async load(): Promise<void> {
    this.#rest?.abort();
    const answer = await this.loaded.load((signal) =>
      deviceApi.list({ filter: this.#filter, limit: firstPage }, signal),
    );
    if (!answer) return;
    this.#allAt = performance.now();
    const fresh = new Map<string, Device>();
    keep(fresh, answer);
    // A first page in the place of thousands would make the table jump.
    if (!answer.next_page || this.#known.size === 0) this.#show(fresh);
    if (answer.next_page) await this.#fill(fresh, answer.next_page);
    if (this.#again) void this.refresh();
  }

  async #fill(fresh: Map<string, Device>, token: string): Promise<void> {
    const rest = new AbortController();
    this.#rest = rest;
    [this.filling, this.lack] = [true, ''];
    try {
      for (let next = token; next && fresh.size < mostDevices; ) {
        const query = { filter: this.#filter, limit: otherPages, page: next };
        const answer = await deviceApi.list(query, rest.signal);
        keep(fresh, answer);
        if (fresh.size >= this.#known.size || !answer.next_page) this.#show(fresh);
        next = answer.next_page;
      }
      this.#show(fresh);
    } catch (error) {
      if (!isAbort(error)) this.lack = explain(error);
    } finally {
      if (this.#rest === rest) this.filling = false;
    }
  }

  /** Asks for those seen last, and now and then for all. */
  async refresh(): Promise<void> {
    this.#again = false;
    const few = (this.loaded.data?.total ?? 0) <= fewEnough;
    if (this.#allAt === 0 || performance.now() - this.#allAt > allEvery || (few && asksMarks(this.#filter)))
      return this.load();
    const before = this.#known.size;
    const answer = await this.loaded.load((signal) =>
      deviceApi.list({ filter: this.#filter, limit: firstPage }, signal),
    );
    if (!answer) return;
    const fresh = new Map<string, Device>();
    keep(fresh, answer);
    if (answer.next_page)
      for (const [uid, device] of this.#known) if (!fresh.has(uid)) fresh.set(uid, device);
    this.#show(fresh);
    // Some matched and do no more, or there are more new ones than one answer holds.
    if (answer.matching < fresh.size || answer.matching > Math.max(before + firstPage, mostDevices))
      this.#allAt = 0;
    if (this.#again) void this.refresh();
  }

  /** Says something of devices, at once; a failure is rolled back and told. */
  async mark(change: MarksChange): Promise<boolean> {
    const before = new Map<string, DeviceMark>();
    for (const uid of change.uids) {
      const device = this.#known.get(uid);
      if (!device) continue;
      before.set(uid, device.mark);
      this.#known.set(uid, { ...device, mark: applied(device.mark, change) });
    }
    this.#show(this.#known);
    try {
      for (let at = 0; at < change.uids.length; at += mostMarked)
        await deviceApi.mark({ ...change, uids: change.uids.slice(at, at + mostMarked) });
      if (asksMarks(this.#filter)) void this.load();
      return true;
    } catch (error) {
      for (const [uid, mark] of before) {
        const device = this.#known.get(uid);
        if (device) this.#known.set(uid, { ...device, mark });
      }
      this.#show(this.#known);
      notices.fail(`The devices could not be marked: ${explain(error)}`);
      return false;
    }
  }

  find(uid: string): Device | undefined {
    return this.#known.get(uid);
  }

  #show(devices: Map<string, Device>): void {
    this.#known = devices;
    this.list = [...devices.values()];
  }
}

function keep(into: Map<string, Device>, answer: DevicesAnswer): void {
  for (const device of answer.devices) into.set(device.uid, device);
}
