import { serverClock } from '../time/now';
import type { Mend, Problem } from './types';

/** A call that the server refused, or that never reached it (status 0). */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  /** Where in the query the fault lies, counted in characters from 0. */
  readonly position: number | undefined;
  /** What was probably meant in the query. */
  readonly mend: Mend | undefined;
  /** The part of the system that does not answer, where that is not the hub. */
  readonly away: string | undefined;
  /** Seconds after which the server will take another try (429, 503). */
  readonly retryAfter: number | undefined;

  constructor(status: number, problem: Partial<Problem>, retryAfter?: number) {
    super(problem.detail || problem.title || `the server answered ${status}`);
    this.status = status;
    this.position = problem.query_position;
    this.mend = problem.query_mend;
    this.away = problem.away;
    this.retryAfter = retryAfter;
  }
}

export interface RequestOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
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
  const response = await call(path, options);
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}

/** Calls the API and hands on each line of JSON as it comes. */
export async function requestLines<T>(
  path: string,
  options: RequestOptions,
  take: (line: T) => void,
): Promise<void> {
  const response = await call(path, options);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const part = await reader?.read();
    if (!part || part.done) return;
    const lines = (rest + part.value).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(JSON.parse(line) as T);
  }
}

/** Calls the API for a file: its name, and what a header says of it. */
export async function requestFile(
  path: string,
  options: RequestOptions,
  header: string,
): Promise<{ name: string; blob: Blob; said: string }> {
  const response = await call(path, options);
  const name = /filename="([^"]+)"/.exec(response.headers.get('Content-Disposition') ?? '')?.[1];
  const said = response.headers.get(header) ?? '';
  return { name: name ?? 'file', blob: await response.blob(), said };
}

async function call(path: string, options: RequestOptions): Promise<Response> {
  const method = options.method ?? 'GET';
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (options.body !== undefined) headers['Content-Type'] = 'application/json';
  if (method !== 'GET' && credentials.csrfToken) headers['X-CSRF-Token'] = credentials.csrfToken;
  const address = path + queryString(options.query);
  const early = takeEarly(method, address);
  const asked = early ? 0 : performance.now();
  let response: Response;
  try {
    response = await (early ??
      fetch(address, {
        method,
        headers,
        body: options.body === undefined ? null : JSON.stringify(options.body),
        signal: options.signal ?? null,
        credentials: 'same-origin',
      }));
    if (options.signal?.aborted) throw new DOMException('nobody waits for it', 'AbortError');
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError(0, { detail: 'the dashboard server cannot be reached' });
  }
  serverClock.heard(response.headers.get('Server-Time'), asked);
  if (!response.ok) throw await refusal(path, response);
  return response;
}

/** How long after a tab was opened what src/first.ts asked for is fresh, in milliseconds. */
const earlyFor = 15_000;

/** The answer to what was asked before this code was there, once. */
function takeEarly(method: string, address: string): Promise<Response> | undefined {
  const { early } = globalThis as { early?: Map<string, Promise<Response>> };
  if (performance.now() > earlyFor) early?.clear();
  const answer = method === 'GET' ? early?.get(address) : undefined;
  // Somebody who signs in, or does something, changes the answers.
  if (method === 'GET') early?.delete(address);
  else early?.clear();
  return answer;
}

async function refusal(path: string, response: Response): Promise<ApiError> {
  const problem = (await response.json().catch(() => ({}))) as Problem & {
    error?: string;
    errorType?: string;
  };
  // Prometheus' API says what is wrong in a field of its own.
  if (!problem.detail && problem.error) problem.detail = problem.error;
  if (problem.errorType === 'unavailable') problem.away ??= 'store';
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
