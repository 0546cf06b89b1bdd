import { apply, parseAll, type Schema, type Values } from './params';
import { timeKeys } from './timerange';

export interface GoOptions {
  /** Puts the address in the place of the current one, so that Back skips it. */
  replace?: boolean;
}

/** Where this tab is: the address is the state of its page. */
class Router {
  path = $state(location.pathname);
  search = $state.raw(location.search);
  params = $derived(new URLSearchParams(this.search));

  /** Follows Back, Forward and plain clicks on links of ours. */
  start(): () => void {
    const pop = () => this.#read();
    const click = (event: MouseEvent) => this.#follow(event);
    window.addEventListener('popstate', pop);
    document.addEventListener('click', click);
    return () => {
      window.removeEventListener('popstate', pop);
      document.removeEventListener('click', click);
    };
  }

  go(address: string, options: GoOptions = {}): void {
    if (options.replace) history.replaceState(null, '', address);
    else if (address !== this.path + this.search) history.pushState(null, '', address);
    this.#read();
  }

  /** Changes some values of the page's state and leaves the rest. */
  set<S extends Schema>(schema: S, changes: Partial<Values<S>>, options: GoOptions = {}): void {
    const query = apply(schema, this.params, changes).toString();
    this.go(this.path + (query ? `?${query}` : ''), options);
  }

  values<S extends Schema>(schema: S): Values<S> {
    return parseAll(schema, this.params);
  }

  /** The address of another page, with this one's time range carried over. */
  link(path: string, extra: Record<string, string> = {}): string {
    const params = new URLSearchParams();
    for (const key of timeKeys) {
      const value = this.params.get(key);
      if (value !== null) params.set(key, value);
    }
    for (const [key, value] of Object.entries(extra)) params.set(key, value);
    const query = params.toString();
    return path + (query ? `?${query}` : '');
  }

  #read(): void {
    this.path = location.pathname;
    this.search = location.search;
  }

  #follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const anchor = (event.target as Element | null)?.closest?.('a[href]');
    if (!(anchor instanceof HTMLAnchorElement) || anchor.target || anchor.hasAttribute('download')) return;
    const url = new URL(anchor.href);
    const ours = url.pathname.startsWith('/dashboard') || url.pathname === '/login';
    if (url.origin !== location.origin || !ours || url.hash) return;
    event.preventDefault();
    this.go(url.pathname + url.search);
  }
}

export const router = new Router();
