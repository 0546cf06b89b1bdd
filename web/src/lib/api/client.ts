import type { Problem } from './types';

/** A call that the server refused, or that never reached it (status 0). */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  /** Where in the query the fault lies, counted in characters from 0. */
  readonly position: number | undefined;
  /** Seconds after which the server will take another try (429, 503). */
  readonly retryAfter: number | undefined;

  constructor(status: number, problem: Partial<Problem>, retryAfter?: number) {
    super(problem.detail || problem.title || `the server answered ${status}`);
    this.status = status;
    this.position = problem.query_position;
    this.retryAfter = retryAfter;
  }
}

export interface RequestOptions {
  method?: 'GET' | 'POST';
  body?: unknown;
  query?: Record<string, string | number | undefined>;
  signal?: AbortSignal | undefined;
}

/** What calls need to know of the signed-in session; the session store sets it. */
export const credentials = {
  csrfToken: '',
  /** Called when the server no longer knows the session. */
  expired: (): void => {},
};

/** Calls the API and returns its JSON, or throws an ApiError. */
export async function request<T>(path: string, options: RequestOptions = {}): Promise<T> {
  const method = options.method ?? 'GET';
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (options.body !== undefined) headers['Content-Type'] = 'application/json';
  if (method !== 'GET' && credentials.csrfToken) headers['X-CSRF-Token'] = credentials.csrfToken;
  let response: Response;
  try {
    response = await fetch(path + queryString(options.query), {
      method,
      headers,
      body: options.body === undefined ? null : JSON.stringify(options.body),
      signal: options.signal ?? null,
      credentials: 'same-origin',
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError(0, { detail: 'the dashboard server cannot be reached' });
  }
  if (!response.ok) throw await refusal(path, response);
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}

async function refusal(path: string, response: Response): Promise<ApiError> {
  const problem = (await response.json().catch(() => ({}))) as Problem;
  if (!problem.title && !problem.detail) problem.title = response.statusText;
  if (response.status === 401 && path !== '/api/session' && path !== '/api/login') credentials.expired();
  const retryAfter = Number(response.headers.get('Retry-After')) || undefined;
  return new ApiError(response.status, problem, retryAfter);
}

export function queryString(query: RequestOptions['query']): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== '') params.set(key, String(value));
  }
  const text = params.toString();
  return text ? `?${text}` : '';
}

/** Whether an error only says that its caller lost interest. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

/** One sentence for people, whatever was thrown. */
export function explain(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
