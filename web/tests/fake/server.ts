import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';
import type { Entity, Event } from '../../src/lib/api/types';
import { completion } from './complete';
import { fieldList } from './data';
import { deviceRoute, scanRoute } from './devices';
import { LiveClient } from './live';
import { prometheusRoute } from './prometheus';
import { QueryFault } from './query';
import { savedRoute } from './saved';
import { exportEvents, fieldValues, queryRows, searchEvents, series } from './search';
import { storeAnswer } from './store';
import { World } from './world';

export interface FakeOptions {
  port?: number;
  agents?: number;
  eventsPerSecond?: number;
  history?: number;
  devices?: number;
}

export interface FakeServer {
  address: string;
  world: World;
  /** Paths that answer 503 while they are in here. */
  failing: Set<string>;
  /** Milliseconds that every API answer takes. */
  delay: number;
  /** How many requests each path got. */
  asked: Map<string, number>;
  /** The script of the page that live connections are told of. */
  page: string;
  /** Cuts live connections; while not allowed, new ones are refused. */
  cutLive(allow: boolean): void;
  hub(connected: boolean): void;
  close(): Promise<void>;
}

/** The name and password the fake takes. */
export const fakeUser = { name: 'admin', password: 'correct horse' };

const dist = fileURLToPath(new URL('../../dist', import.meta.url));
const kinds: Record<string, string> = {
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.html': 'text/html',
};
/** As strict as the program's: what stands in the page itself is allowed by its hash alone. */
function policyFor(page: string): string {
  const hashes = (kind: string) =>
    [...page.matchAll(new RegExp(`<${kind}>(.*?)</${kind}>`, 'gs'))]
      .map(
        ([, text]) =>
          ` 'sha256-${createHash('sha256')
            .update(text ?? '')
            .digest('base64')}'`,
      )
      .join('');
  return `default-src 'self'; style-src 'self'${hashes('style')}; style-src-attr 'unsafe-inline'; script-src 'self'${hashes('script')}; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'`;
}

/** Serves the built UI and a made-up API: for development, and for states that are hard to reach. */
export async function startFakeServer(options: FakeOptions = {}): Promise<FakeServer> {
  const rate = options.eventsPerSecond ?? 40;
  const world = new World(
    {
      agents: options.agents ?? 8,
      eventsPerSecond: rate,
      history: options.history ?? 20_000,
      devices: options.devices,
    },
    Date.now(),
  );
  const clients = new Set<LiveClient>();
  let allowed = true;
  const server = createServer((request, response) => {
    // A tab that goes away in the middle of a request is nobody's fault.
    answer(request, response).catch(() => response.destroy());
  });
  const sockets = new WebSocketServer({ noServer: true });

  server.on('upgrade', (request, socket, head) => {
    if (!allowed || !signedIn(request)) {
      socket.end('HTTP/1.1 503 Service Unavailable\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (ws) => {
      const client = new LiveClient(ws, world, fake.page);
      clients.add(client);
      ws.on('close', () => clients.delete(client));
    });
  });

  let owed = 0;
  const timer = setInterval(() => {
    owed += world.options.eventsPerSecond / 10;
    if (world.options.history > 0) world.advance(Date.now(), Math.floor(owed));
    owed %= 1;
    for (const client of clients) client.tick(Date.now());
  }, 100);

  const fake: FakeServer = {
    address: '',
    world,
    failing: new Set(),
    delay: 0,
    page: '',
    asked: new Map(),
    cutLive(allow) {
      allowed = allow;
      for (const client of clients) client.close();
    },
    hub(connected) {
      for (const client of clients) client.hub(connected, Date.now());
    },
    async close() {
      clearInterval(timer);
      this.cutLive(false);
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake');
    fake.asked.set(url.pathname, (fake.asked.get(url.pathname) ?? 0) + 1);
    if (!/^\/(prometheus\/)?api\//.test(url.pathname)) return file(url.pathname, response);
    if (fake.delay) await new Promise((done) => setTimeout(done, fake.delay));
    if (world.store.state === 'away' && storePaths.test(url.pathname))
      return problem(response, 503, world.store.reason, { title: 'The store is away', away: 'store' });
    if (fake.failing.has(url.pathname))
      return problem(response, 503, 'the hub cannot be reached: connection refused');
    const body = await read(request);
    try {
      route(request, response, url, body, world);
    } catch (error) {
      if (!(error instanceof QueryFault)) throw error;
      problem(response, 400, error.message, { query_position: error.position, query_mend: error.mend });
    }
  }

  await new Promise<void>((done) => server.listen(options.port ?? 0, '127.0.0.1', done));
  fake.address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return fake;
}

/** What the store answers. */
const storePaths = /^\/(prometheus|api\/(events|devices|query\/rows|fields\/.+|store))(\/|$)/;

const signedIn = (request: IncomingMessage) => /amoskys_session=yes/.test(request.headers.cookie ?? '');

function route(
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  body: string,
  world: World,
): void {
  const now = Date.now();
  const session = {
    user: { name: fakeUser.name, role: world.role },
    csrf_token: 'token',
    expires_at: new Date(now + 43_200_000).toISOString(),
    version: '0.1.0',
    ...(world.grafana ? { grafana: { url: world.grafana, datasource: 'amoskys' } } : {}),
  };
  if (url.pathname === '/api/login') {
    const given = JSON.parse(body) as { username: string; password: string };
    if (given.username !== fakeUser.name || given.password !== fakeUser.password)
      return problem(response, 401, 'wrong name or password');
    response.setHeader('Set-Cookie', 'amoskys_session=yes; HttpOnly; SameSite=Strict; Path=/');
    return json(response, session);
  }
  if (!signedIn(request)) return problem(response, 401, 'sign in first');
  if (request.method !== 'GET' && request.headers['x-csrf-token'] !== 'token')
    return problem(response, 403, 'the request lacks its token');
  if (url.pathname.startsWith('/prometheus/')) {
    const { status, value } = prometheusRoute(url, world);
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
    return;
  }
  const agent = /^\/api\/agents\/([^/]+)\/(start|stop|restart|logs)$/.exec(url.pathname);
  if (agent && agent[2] !== 'logs' && world.role !== 'admin')
    return problem(response, 403, `this needs role admin, and you have ${world.role}`);
  if (agent) return agentRoute(response, url, decodeURIComponent(agent[1] ?? ''), agent[2] ?? '', world);
  if (/^\/api\/devices(\/|$)/.test(url.pathname)) {
    const { status, value } = deviceRoute(request.method ?? 'GET', url, body, world.devices);
    if (status >= 400) problem(response, status, String(value));
    else json(response, value);
    return;
  }
  if (/^\/api\/agents\/device_scanner\/tasks/.test(url.pathname))
    return scanRoute(request.method ?? 'GET', response, body, world.devices);
  const field = /^\/api\/fields\/([^/]+)\/values$/.exec(url.pathname);
  if (field)
    return json(response, fieldValues(world, decodeURIComponent(field[1] ?? ''), url.searchParams, now));
  if (/^\/api\/queries(\/|$)/.test(url.pathname)) {
    const { status, value } = savedRoute(request.method ?? 'GET', url, body, world);
    if (status === 204) response.writeHead(204).end();
    else if (status >= 400) problem(response, status, String(value));
    else json(response, value);
    return;
  }
  const event = /^\/api\/events\/(\d+)$/.exec(url.pathname);
  if (event) return eventRoute(response, Number(event[1]), world);
  switch (url.pathname) {
    case '/api/session':
      return json(response, session);
    case '/api/health':
      return json(response, { status: 'ok' });
    case '/api/logout':
      response.setHeader('Set-Cookie', 'amoskys_session=; Max-Age=0; Path=/');
      response.writeHead(204).end();
      return;
    case '/api/overview':
      return json(response, { ...world.status(now), recent: world.events.slice(-8).reverse() });
    case '/api/series':
      return json(response, series(world, url.searchParams, now));
    case '/api/agents/status':
      return json(response, {
        agents: world.agents,
        nodes: world.nodes(),
        time: new Date(now).toISOString(),
      });
    case '/api/events/export':
      response.setHeader('Content-Disposition', 'attachment; filename="amoskys-events.csv"');
      response.writeHead(200, { 'Content-Type': 'text/csv' }).end(exportEvents(world, url.searchParams, now));
      return;
    case '/api/query/complete':
      return json(response, completion(world, url.searchParams, now));
    case '/api/query/rows':
      return json(response, queryRows(world, url.searchParams, now));
    case '/api/backup':
      return json(response, { backups: [], time: new Date(now).toISOString() });
    case '/api/store':
      return json(response, storeAnswer(world, now));
    case '/api/events':
      return json(response, searchEvents(world, url.searchParams, now));
    case '/api/fields':
      return json(response, { fields: fieldList, lacks: [] });
    default:
      return problem(response, 404, 'there is no such thing');
  }
}

function agentRoute(response: ServerResponse, url: URL, id: string, action: string, world: World): void {
  const host = url.searchParams.get('host') ?? '';
  if (action === 'logs') {
    const lines = Array.from(
      { length: 120 },
      (_, index) =>
        `time=2026-01-01T00:${String(index % 60).padStart(2, '0')}:00Z level=${index % 40 === 7 ? 'WARN' : index % 60 === 30 ? 'ERROR' : 'INFO'} msg="batch acknowledged" agent_id=${id} host=${host} first=${index * 100} count=100`,
    );
    return json(response, { lines });
  }
  if (world.refuse) return problem(response, 503, world.refuse);
  const agent = world.command(id, host, action);
  if (agent) json(response, { agent });
  else problem(response, 404, `no agent ${id} on ${host}`);
}

function eventRoute(response: ServerResponse, offset: number, world: World): void {
  const event = world.events[offset];
  if (!event) return problem(response, 404, `no event at offset ${offset} is stored`);
  const near = world.events.slice(Math.max(0, offset - 400), offset + 400);
  const sameHost = near.filter((each) => each.host === event.host);
  const subject = event.fields['process.name'];
  json(response, {
    event,
    raw: { id: event.id, time: event.time, type: event.type, body: event.fields },
    before: sameHost
      .filter((each) => each.offset < offset)
      .slice(-5)
      .reverse(),
    after: sameHost.filter((each) => each.offset > offset).slice(0, 5),
    related: sameHost
      .filter((each) => subject && each.fields['process.name'] === subject && each.offset !== offset)
      .slice(-10)
      .reverse(),
    entities: entitiesOf(event),
  });
}

/** What the program's internal/entity finds in the events that the fake makes. */
function entitiesOf(event: Event): Entity[] {
  const named: [role: Entity['role'], kind: Entity['kind'], field: string][] = [
    ['process', 'process', 'process.entity_id'],
    ['parent', 'process', 'process.parent.entity_id'],
    ['flow', 'flow', 'network.community_id'],
  ];
  const found = named.flatMap(([role, kind, field]): Entity[] => {
    const id = event.fields[field];
    if (typeof id !== 'string') return [];
    const query = `${role === 'parent' ? 'process.entity_id' : field}:="${id}"`;
    return [{ role, kind, key: `${kind}:${id}`, name: '', query }];
  });
  return [
    ...found,
    { role: 'host', kind: 'host', key: `host:${event.host}`, name: '', query: `host:="${event.host}"` },
  ];
}

function json(response: ServerResponse, value: unknown): void {
  response
    .writeHead(200, { 'Content-Type': 'application/json', 'Server-Time': new Date().toISOString() })
    .end(JSON.stringify(value));
}

function problem(response: ServerResponse, status: number, detail: string, more: object = {}): void {
  response
    .writeHead(status, {
      'Content-Type': 'application/problem+json',
      ...(status === 503 ? { 'Retry-After': '1' } : {}),
    })
    .end(JSON.stringify({ status, detail, ...more }));
}

async function read(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const part of request) text += String(part);
  return text;
}

function file(path: string, response: ServerResponse): void {
  const asset = join(dist, normalize(path));
  const name = path.startsWith('/assets/') && existsSync(asset) ? asset : join(dist, 'index.html');
  if (!existsSync(name)) {
    response.writeHead(404).end('run npm run build first');
    return;
  }
  response.writeHead(200, {
    'Content-Type': kinds[extname(name)] ?? 'application/octet-stream',
    'Content-Security-Policy': policyFor(readFileSync(join(dist, 'index.html'), 'utf8')),
  });
  response.end(readFileSync(name));
}
