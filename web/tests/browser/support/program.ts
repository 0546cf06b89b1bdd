import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const binary = process.env.AMOSKYS_BIN ?? fileURLToPath(new URL('../../../../bin/amoskys', import.meta.url));

export const hasProgram = existsSync(binary);

export interface Program {
  address: string;
  home: string;
  user: string;
  password: string;
  /** What it has said so far, for failures. */
  said: () => string;
  /** The process of a role, as it was last started. */
  pidOf(role: 'hub' | 'dashboard' | 'node'): number;
  /** Makes a user, as a person at the command line does, and returns the password. */
  addUser(name: string, role: 'viewer' | 'analyst' | 'admin'): Promise<string>;
  stop(): Promise<void>;
}

/** Runs the whole system, hub to agents, on free ports in a folder of its own; hubSettings go to the hub's file, synthSettings to the synthetic agent's. */
export async function startProgram(
  program: string = binary,
  hubSettings = '',
  synthSettings = '',
): Promise<Program> {
  const home = await mkdtemp(join(tmpdir(), 'amoskys-ui-'));
  const [hub, metrics, dashboard, proc, monitor, exported, synth, store, storeMetrics] = await freePorts(9);
  const connection = `hub: {port: ${hub}}\nhttp: {port: `;
  await mkdir(join(home, 'config', 'agents'), { recursive: true, mode: 0o700 });
  const files: Record<string, string> = {
    'eventbus_config.yaml': `server: {port: ${hub}}\nmetrics: {port: ${metrics}}\n${hubSettings}\n`,
    'dashboard_config.yaml': `server: {port: ${dashboard}}\nhub: {port: ${hub}}\nstore: {port: ${store}}\n`,
    'store_config.yaml': `server: {port: ${store}}\nmetrics: {port: ${storeMetrics}}\nhub: {port: ${hub}}\n`,
    'node_config.yaml': `hub: {port: ${hub}}\nnode: {agents: [proc, eventbus, synth]}\n`,
    'agents/process_monitor_config.yaml': `agent: {interval_seconds: 1}\n${connection}${proc}}\n`,
    'agents/eventbus_agent_config.yaml': `monitoring: {eventbus_port: ${hub}, metrics_export_port: ${exported}}\n${connection}${monitor}}\n`,
    'agents/mac_telemetry_config.yaml': `${connection}${synth}}\n${synthSettings}`,
  };
  for (const [name, text] of Object.entries(files))
    await writeFile(join(home, 'config', name), text, { mode: 0o600 });

  const child = spawn(program, ['up', '--home', home, '--plain'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      text += String(data);
    });
  }
  const address = `http://127.0.0.1:${dashboard}`;
  const password = await until(60_000, `the program to serve ${address}`, child, async () => {
    const found = /password:\s*(\S+)/.exec(text)?.[1];
    const answer = await fetch(`${address}/api/health`).catch(() => null);
    const health = answer?.ok ? ((await answer.json()) as { hub: { connected: boolean } }) : null;
    return found && health?.hub.connected ? found : null;
  }).catch((error: Error) => {
    throw new Error(`${error.message}; it said:\n${text}`);
  });
  return {
    address,
    home,
    user: 'admin',
    password,
    said: () => text,
    pidOf: (role) =>
      Number([...text.matchAll(new RegExp(`${role}\\s+running \\(pid (\\d+)`, 'g'))].at(-1)?.[1]),
    async addUser(name, role) {
      const flags = ['user', 'add', name, '--role', role, '--json', '--home', home];
      const { stdout } = await promisify(execFile)(binary, flags);
      return (JSON.parse(stdout) as { password: string }).password;
    },
    async stop() {
      child.kill('SIGTERM');
      if (child.exitCode === null) await new Promise((done) => child.once('exit', done));
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** The end of a file of the program's home, for failures. */
export async function logOf(program: Program, name: string): Promise<string> {
  const text = await readFile(join(program.home, 'logs', name), 'utf8').catch(() => '');
  return text.split('\n').slice(-20).join('\n');
}

async function until<T>(
  limit: number,
  what: string,
  child: ChildProcess,
  look: () => Promise<T | null>,
): Promise<T> {
  const deadline = Date.now() + limit;
  for (;;) {
    const found = await look();
    if (found !== null) return found;
    if (child.exitCode !== null) throw new Error(`waited for ${what}, but it ended with ${child.exitCode}`);
    if (Date.now() > deadline) throw new Error(`waited ${limit / 1000} s for ${what}`);
    await new Promise((done) => setTimeout(done, 200));
  }
}

/** Ports that were free a moment ago, all different. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}
