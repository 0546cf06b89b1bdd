import { tokenize } from '../../src/lib/promql/tokens';
import type { World } from './world';

type Labels = Record<string, string>;
interface FakeSeries {
  labels: Labels;
  at: (time: number) => number;
}

const meanings: Record<string, { type: string; help: string; unit: string }> = {
  process_cpu_percent: { type: 'gauge', help: 'CPU use of a process, in percent of one core.', unit: '%' },
  process_memory_bytes: { type: 'gauge', help: 'Resident memory of a process.', unit: 'By' },
  snmp_interface_bytes_in: { type: 'unknown', help: 'Bytes that came in by an interface.', unit: 'By' },
  snmp_interface_bytes_out: { type: 'unknown', help: 'Bytes that went out by an interface.', unit: 'By' },
  snmp_interface_errors: { type: 'unknown', help: 'Packets with errors of an interface.', unit: '{packet}' },
  snmp_system_cpu_load: { type: 'gauge', help: 'Mean load of the processors of a device.', unit: '%' },
  snmp_response_seconds: { type: 'gauge', help: 'How long the last poll of a device took.', unit: 's' },
  amoskys_agent_events_total: { type: 'counter', help: 'Events that an agent published.', unit: '{event}' },
  amoskys_agent_cpu_percent: { type: 'gauge', help: 'CPU use of an agent.', unit: '%' },
  amoskys_agent_memory_bytes: { type: 'gauge', help: 'Resident memory of an agent.', unit: 'By' },
  eventbus_throughput_eps: { type: 'gauge', help: 'Events a second that the hub takes.', unit: '1/s' },
  eventbus_latency_ms: { type: 'gauge', help: 'Time that the hub takes to answer.', unit: 'ms' },
  eventbus_queue_depth: { type: 'gauge', help: 'Events that wait.', unit: '' },
};
const programs = ['postgres', 'nginx', 'sshd', 'node', 'systemd', 'amoskys-agent', 'containerd', 'cron'];

const wave = (time: number, mean: number, swing: number) =>
  Math.max(0, mean + swing * Math.sin(time / 170) + (swing / 3) * Math.sin(time / 23));

function seriesOf(name: string, world: World): FakeSeries[] {
  const hosts = [...new Set(world.agents.map((agent) => agent.host))].slice(0, 4);
  if (name.startsWith('process_')) {
    const mean = name.endsWith('percent') ? 12 : 180e6;
    return hosts.flatMap((host, h) =>
      programs.map((process, p) => ({
        labels: { __name__: name, agent: 'proc_agent', host, pid: String(400 + p * 31 + h), process },
        at: (time: number) => wave(time + p * 40 + h * 90, mean / (p + 1), mean / (p + 1) / 2),
      })),
    );
  }
  if (name.startsWith('snmp_interface_'))
    return ['ether1', 'ether2', 'sfp1'].map((ifName, p) => ({
      labels: {
        __name__: name,
        agent: 'snmp_agent',
        host: hosts[0] ?? 'web-01',
        device: 'gw',
        ifIndex: String(10_101 + p),
        ifName,
      },
      at: (time: number) => wave(time + p * 60, 4e6 / (p + 1), 2e6 / (p + 1)),
    }));
  if (name.startsWith('snmp_'))
    return [
      {
        labels: {
          __name__: name,
          agent: 'snmp_agent',
          host: hosts[0] ?? 'web-01',
          device: 'gw',
          ip: '10.0.0.1',
        },
        at: (time: number) => (name.endsWith('load') ? wave(time, 20, 9) : wave(time, 0.02, 0.01)),
      },
    ];
  if (name.startsWith('amoskys_agent_'))
    return world.agents.map((agent) => ({
      labels: { __name__: name, agent: agent.id, host: agent.host, kind: agent.kind },
      at: (time: number) => {
        if (name.endsWith('events_total'))
          return agent.health === 'red'
            ? 0
            : wave(time + agent.port * 7, agent.events_per_second, agent.events_per_second / 3);
        return name.endsWith('bytes')
          ? wave(time, agent.rss_bytes, agent.rss_bytes / 20)
          : wave(time, agent.cpu_percent, agent.cpu_percent / 3);
      },
    }));
  if (name.startsWith('eventbus_'))
    return [
      {
        labels: { __name__: name, agent: 'eventbus', host: hosts[0] ?? 'web-01' },
        at: (time: number) => wave(time, name.endsWith('eps') ? 40 : 2, 1),
      },
    ];
  return [];
}

/** Prometheus' API as far as pages use it: no engine, but its shapes, and faults where brackets do not close. */
export function prometheusRoute(url: URL, world: World): { status: number; value: unknown } {
  const path = url.pathname.replace('/prometheus/api/v1/', '');
  const success = (data: unknown) => ({ status: 200, value: { status: 'success', data } });
  if (path === 'rules') return success({ groups: world.rules ? ruleGroups(world) : [] });
  const matching = () => found(url.searchParams.get('match[]') ?? '', world);
  if (path === 'metadata')
    return success(Object.fromEntries(Object.entries(meanings).map(([name, each]) => [name, [each]])));
  if (path === 'labels')
    return success([...new Set(matching().flatMap((each) => Object.keys(each.labels)))].sort());
  const label = /^label\/(.+)\/values$/.exec(path)?.[1];
  if (label === '__name__') return success(Object.keys(meanings));
  if (label) return success([...new Set(matching().flatMap((each) => each.labels[label] ?? []))].sort());
  const query = url.searchParams.get('query') ?? '';
  const fault = faultIn(query);
  if (fault)
    return {
      status: 400,
      value: { status: 'error', errorType: 'bad_data', error: `invalid parameter "query": ${fault}` },
    };
  const most = Number(/topk\((\d+)/.exec(query)?.[1] ?? 1000);
  const number = (name: string) => Number(url.searchParams.get(name));
  if (path === 'query') {
    const time = number('time');
    const result = found(query, world).map((each) => ({
      metric: each.labels,
      value: [time, String(each.at(time))],
    }));
    result.sort((a, b) => Number(b.value[1]) - Number(a.value[1]));
    return success({ resultType: 'vector', result: result.slice(0, most) });
  }
  const [start, end, step] = ['start', 'end', 'step'].map(number) as [number, number, number];
  const times = Array.from({ length: Math.floor((end - start) / step) + 1 }, (_, at) => start + at * step);
  const result = found(query, world)
    .slice(0, most)
    .map((each) => ({
      metric: each.labels,
      values: times
        .filter((_, at) => at < times.length * 0.3 || at > times.length * 0.36)
        .map((time) => [time, String(each.at(time))]),
    }));
  return success({ resultType: 'matrix', result });
}

/** The series of every metric that a text names and whose matchers fit. */
function found(text: string, world: World): FakeSeries[] {
  const tokens = tokenize(text);
  const names = Object.keys(meanings).filter((name) => tokens.some((token) => token.text === name));
  const wanted = tokens.flatMap((token, at): [string, string][] =>
    tokens[at + 1]?.text === '=' && token.kind === 'name'
      ? [[token.text, (tokens[at + 2]?.text ?? '').slice(1, -1)]]
      : [],
  );
  const all = (text === '' ? Object.keys(meanings) : names).flatMap((name) => seriesOf(name, world));
  return all.filter((each) => wanted.every(([label, value]) => each.labels[label] === value));
}

function faultIn(query: string): string | null {
  let open = 0;
  for (const token of tokenize(query)) {
    if (token.text === '(') open += 1;
    if (token.text === ')') open -= 1;
    if (open < 0) return `1:${token.start + 1}: parse error: unexpected right parenthesis ')'`;
  }
  return open > 0 ? `1:${query.indexOf('(') + 1}: parse error: unclosed left parenthesis` : null;
}

/** Two groups: of one a rule fires and one is pending, of the other a rule fails. */
function ruleGroups(world: World): unknown[] {
  const host = world.agents[0]?.host ?? 'web-01';
  const evaluated = { lastEvaluation: new Date(world.started).toISOString(), evaluationTime: 0.0021 };
  const active = (state: string, minutes: number, summary: string) => ({
    state,
    activeAt: new Date(world.started - minutes * 60_000).toISOString(),
    labels: { alertname: 'HostBusy', host, agent: 'proc_agent', severity: 'high' },
    annotations: { summary },
    value: '9.42e+01',
  });
  const alerting = { type: 'alerting', health: 'ok', duration: 600, ...evaluated };
  const recording = { type: 'recording', ...evaluated };
  return [
    {
      ...{ name: 'hosts', file: '/var/lib/amoskys/rules/metrics/office.yml', interval: 30, ...evaluated },
      rules: [
        {
          ...{
            ...alerting,
            name: 'HostBusy',
            query: 'sum by (host) (process_cpu_percent) > 90',
            state: 'firing',
          },
          alerts: [active('firing', 90, `${host} is busy`), active('pending', 3, '')],
        },
        {
          ...alerting,
          name: 'HostFull',
          query: 'sum(process_memory_bytes) > 9e9',
          state: 'inactive',
          alerts: [],
        },
        {
          ...recording,
          name: 'host:process_memory_bytes:sum',
          query: 'sum by (host) (process_memory_bytes)',
          health: 'ok',
        },
      ],
    },
    {
      ...{ name: 'network', file: '/var/lib/amoskys/rules/metrics/network.yml', interval: 60, ...evaluated },
      rules: [
        {
          ...{
            ...recording,
            name: 'network:bytes:rate5m',
            query: 'rate(snmp_interface_bytes_in[5m])',
            health: 'err',
          },
          lastError: 'found duplicate series for the match group {} on the right hand-side of the operation',
        },
      ],
    },
  ];
}
