/** A question that people ask, as the queries that answer it. */
export interface Question {
  title: string;
  queries: readonly string[];
  /** What it looks at, in a word. */
  about: string;
}

export const questions: readonly Question[] = [
  {
    title: 'Which processes use the most CPU?',
    queries: ['process_cpu_percent and topk(10, avg_over_time(process_cpu_percent[5m] @ end()))'],
    about: 'processes',
  },
  {
    title: 'Which processes use the most memory?',
    queries: ['process_memory_bytes and topk(10, process_memory_bytes @ end())'],
    about: 'processes',
  },
  {
    title: 'Which programs use the most CPU on each host?',
    queries: ['topk(10, sum by (host, process) (process_cpu_percent))'],
    about: 'processes',
  },
  {
    title: 'How much goes through the interfaces of each host?',
    queries: [
      'sum by (host, interface) (rate(flow_bytes_in[5m]))',
      'sum by (host, interface) (rate(flow_bytes_out[5m]))',
    ],
    about: 'flows',
  },
  {
    title: 'What is the traffic of?',
    queries: ['topk(10, sum by (category) (rate(flow_bytes_in[5m]) + rate(flow_bytes_out[5m])))'],
    about: 'flows',
  },
  {
    title: 'How much goes through the busiest interfaces?',
    queries: ['topk(5, rate(snmp_interface_bytes_in[5m]))', 'topk(5, rate(snmp_interface_bytes_out[5m]))'],
    about: 'devices',
  },
  {
    title: 'Which interfaces have errors?',
    queries: ['topk(10, rate(snmp_interface_errors[15m]) > 0)'],
    about: 'devices',
  },
  { title: 'Which agents need attention?', queries: ['amoskys_agent_degraded > 0'], about: 'agents' },
  {
    title: 'What do agents use, and what waits in their spools?',
    queries: ['topk(10, amoskys_agent_cpu_percent)', 'topk(10, amoskys_agent_spool_events)'],
    about: 'agents',
  },
  {
    title: 'How many events a second does each agent send?',
    queries: ['topk(10, rate(amoskys_agent_events_total[5m]))'],
    about: 'agents',
  },
  {
    title: 'How many events a second does the hub take?',
    queries: ['eventbus_throughput_eps'],
    about: 'hub',
  },
  {
    title: 'How fast does the hub answer, and how much waits?',
    queries: ['eventbus_latency_ms', 'eventbus_queue_depth'],
    about: 'hub',
  },
];
