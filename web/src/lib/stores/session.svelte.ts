import { ApiError, credentials, explain } from '../api/client';
import { api } from '../api/endpoints';
import type { Role, Session } from '../api/types';
import { router } from '../router/router.svelte';

const ranks: Record<Role, number> = { viewer: 0, analyst: 1, admin: 2 };

/** How long to wait for a server that does not answer, in milliseconds. */
const retryEvery = 3000;

/** Who is signed in. */
class SessionStore {
  current = $state.raw<Session | null>(null);
  /** Why it is not known whether anyone is, such as a server that is down. */
  problem = $state<string | null>(null);
  #retry: ReturnType<typeof setTimeout> | undefined;

  /** Asks the server; without a session goes to the login page. Who is signed in stays so while it does not answer. */
  async load(): Promise<void> {
    try {
      this.#accept(await api.session());
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.ended();
      else if (this.current === null) this.#waitFor(explain(error));
    }
  }

  /** Nothing can be shown yet: asks again and again until it can. */
  #waitFor(problem: string): void {
    this.problem = problem;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.load(), retryEvery);
  }

  async login(name: string, password: string): Promise<void> {
    this.#accept(await api.login(name, password));
  }

  async logout(): Promise<void> {
    await api.logout();
    this.ended();
  }

  /** Goes to the login page, and afterwards back to where this was. */
  ended(): void {
    this.current = null;
    this.problem = null;
    credentials.csrfToken = '';
    if (router.path === '/login') return;
    const here = router.path + router.search;
    router.go(`/login${here === '/dashboard' ? '' : `?next=${encodeURIComponent(here)}`}`, { replace: true });
  }

  may(role: Role): boolean {
    return this.current !== null && ranks[this.current.user.role] >= ranks[role];
  }

  #accept(session: Session): void {
    clearTimeout(this.#retry);
    credentials.csrfToken = session.csrf_token;
    credentials.expired = () => this.ended();
    this.problem = null;
    this.current = { ...this.current, ...session };
  }
}

export const session = new SessionStore();
