import type { Agent, Event, FieldInfo, Severity } from '../../src/lib/api/types';
import { pick, random } from './random';

const programs = [
  ['nginx', '/usr/sbin/nginx', 'nginx: worker process', 'www-data'],
  ['postgres', '/usr/lib/postgresql/16/bin/postgres', 'postgres: checkpointer', 'postgres'],
  ['sshd', '/usr/sbin/sshd', 'sshd: deploy [priv]', 'root'],
  ['bash', '/usr/bin/bash', 'bash -c "systemctl status nginx"', 'deploy'],
  ['python3', '/usr/bin/python3.13', 'python3 -m http.server --bind 127.0.0.1 8080', 'app'],
  ['node', '/usr/bin/node', 'node /srv/shop/server.js --port 3000', 'app'],
  ['cron', '/usr/sbin/cron', '/usr/sbin/cron -f', 'root'],
  ['curl', '/usr/bin/curl', 'curl -fsS https://updates.example.net/manifest.json', 'root'],
  ['rsync', '/usr/bin/rsync', 'rsync -a /srv/backup/ backup@vault:/srv/', 'backup'],
] as const;
const types = [
  'process.execution',
  'process.sample',
  'process.sample',
  'process.sample',
  'process.exit',
  'agent.health',
  'hub.health',
];

export const hostName = (index: number) =>
  `${['web', 'db', 'app', 'edge'][index % 4]}-${String(Math.floor(index / 4) + 1).padStart(2, '0')}`;

/** One event, the same for the same offset. */
export function makeEvent(offset: number, time: number, hosts: number): Event {
  const next = random(offset * 7919 + 17);
  const type = pick(next, types);
  const host = hostName(Math.floor(next() * Math.min(hosts, 12)));
  const [name, executable, command, user] = pick(next, programs);
  const pid = 300 + Math.floor(next() * 30_000);
  const stamp = new Date(time).toISOString().replace('Z', '123456Z');
  const severity: Severity =
    next() > 0.97 ? pick(next, ['low', 'medium', 'high', 'critical']) : 'informational';
  const event: Event = {
    offset,
    id: `0197c0de-${String(offset % 10_000).padStart(4, '0')}-7000-8000-${String(offset).padStart(12, '0')}`,
    time: stamp,
    logged_time: stamp,
    type,
    severity,
    host,
    agent: type === 'hub.health' ? 'eventbus' : 'proc_agent',
    agent_kind: type === 'hub.health' ? 'eventbus' : 'proc',
    observer: '',
    about: '',
    publisher: `spiffe://local/agent/${host}`,
    message: '',
    fields: { 'host.name': host, 'host.os.type': 'linux', 'agent.version': '0.1.0' },
  };
  if (type === 'hub.health') {
    event.message = 'hub ok, queue 0, 3 connections';
    Object.assign(event.fields, { 'hub_health.reachable': true, 'hub_health.queue_depth': 0 });
  } else if (type === 'agent.health') {
    event.message = 'proc_agent running';
  } else {
    Object.assign(event.fields, {
      pid,
      'process.entity_id': `${host}-${pid}`,
      'process.name': name,
      'process.executable': executable,
      'process.command_line': command,
      'process.user.name': user,
      'process.args': command.split(' '),
    });
    if (type === 'process.sample') {
      const cpu = Math.round(next() * next() * 900) / 10;
      const rss = Math.round(next() * 4e8);
      Object.assign(event.fields, { cpu, rss, threads: 1 + Math.floor(next() * 20) });
      event.message = `${name} (${pid}) cpu ${cpu}% rss ${(rss / 1e6).toFixed(1)} MB`;
    } else if (type === 'process.exit') {
      const code = next() > 0.9 ? 1 : 0;
      event.fields['process.exit_code'] = code;
      event.message = `${name} (${pid}) exited with ${code}`;
    } else {
      event.message = `${user} started ${command}`;
    }
  }
  return event;
}

export function makeAgents(total: number, now: number): Agent[] {
  return Array.from({ length: total }, (_, index) => {
    const next = random(index * 31 + 5);
    const host = hostName(Math.floor(index / 2));
    const hub = index % 2 === 1;
    const trouble = index % 11 === 6 ? 'red' : index % 17 === 9 ? 'yellow' : 'green';
    const down = trouble === 'red';
    return {
      id: hub ? 'eventbus' : 'proc_agent',
      kind: hub ? 'eventbus' : 'proc',
      host,
      node: host,
      version: '0.1.0',
      state: down ? 'crashed' : 'running',
      health: trouble,
      detail: down
        ? 'exit status 2: config/agents/process_monitor_config.yaml:7: unknown key "monitring"'
        : trouble === 'yellow'
          ? 'no metrics for 3 intervals'
          : '',
      pid: down ? 0 : 1000 + index,
      port: hub ? 50001 : 50002,
      started_at: new Date(now - 3_600_000 * (1 + index)).toISOString(),
      last_event_at: new Date(now - (down ? 840_000 : 1500)).toISOString(),
      events_total: Math.floor(next() * 1e6),
      events_per_second: down ? 0 : Math.round(next() * 600) / 10,
      events_dropped_total: 0,
      cpu_percent: next() * 2,
      rss_bytes: 18e6 + next() * 12e6,
      spool_bytes: down ? 81_920 : 0,
      spool_events: down ? 412 : 0,
      restarts: down ? 3 : 0,
      node_connected: true,
      enabled: true,
      unsupervised: false,
      privileges: [],
      certificate_ends_at: null,
      last_exit_at: null,
      last_exit: '',
      warning: '',
    };
  });
}

export const fieldList: FieldInfo[] = [
  {
    name: 'type',
    type: 'keyword',
    description: 'Kind of event',
    example_values: ['process.execution', 'process.exit', 'process.sample', 'agent.health', 'hub.health'],
  },
  {
    name: 'severity',
    type: 'keyword',
    description: 'How grave it is',
    example_values: ['informational', 'low', 'medium', 'high', 'critical'],
  },
  { name: 'host', type: 'keyword', description: 'Machine the event is about' },
  { name: 'agent', type: 'keyword', description: 'Agent that observed it' },
  { name: 'message', type: 'keyword', description: 'One line for people' },
  { name: 'pid', type: 'number', description: 'Process id' },
  { name: 'process.name', type: 'keyword', description: 'Name of the program' },
  { name: 'process.entity_id', type: 'keyword', description: 'Id of the process for good' },
  { name: 'process.command_line', type: 'keyword', description: 'Command line' },
  { name: 'process.executable', type: 'keyword', description: 'Path of the executable' },
  { name: 'process.user.name', type: 'keyword', description: 'User it runs as' },
  { name: 'process.exit_code', type: 'number', description: 'Exit code' },
  { name: 'cpu', type: 'number', description: 'CPU, percent of a core' },
  { name: 'rss', type: 'number', description: 'Resident memory, bytes' },
];
