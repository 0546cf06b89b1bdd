import { selector } from '$lib/promql/selector';
import { term } from './edit';
import { joinPipes, splitPipes } from './tokens';

/** A question that people ask, as a search that answers it. */
export interface Question {
  title: string;
  query: string;
  /**
   * The page that answers it, where that is not Events. The metrics have every reading of the
   * busiest processes, and are asked in PromQL; of a process the store has one every five
   * minutes.
   */
  page?: 'events' | 'metrics';
  /** The stretch of time it is about, where that is not the chosen one. */
  range?: string;
}

/** Readings and signs of life say that nothing changed. */
const unchanging = '-type:in(process.sample,snmp.reading,metric.batch,agent.health,hub.health)';

/** Of any system. */
export const general: readonly Question[] = [
  {
    title: 'Which processes used the most CPU in the last ten minutes?',
    query: 'topk(20, avg_over_time(process_cpu_percent[10m]))',
    page: 'metrics',
    range: '10m',
  },
  {
    title: 'Which processes use the most memory?',
    query: 'topk(20, process_memory_bytes)',
    page: 'metrics',
    range: '10m',
  },
  {
    title: 'Which programs ran that hardly ever run?',
    query:
      'type:=process.execution | stats by (process.name) count() runs, count_uniq(host) hosts | sort by (runs) | limit 30',
  },
  {
    title: 'Which hosts send the most, and of what?',
    query: '* | stats by (host, type) count() events | sort by (events desc) | limit 30',
  },
  {
    title: 'What ended with an error?',
    query: 'type:=process.exit process.exit_code:>0',
  },
  { title: 'What did rules and models find?', query: 'type:finding.*', range: '7d' },
  { title: 'What is grave?', query: 'severity:>=medium' },
];

/** Of flows: those of the page Network, which have ended and were not replayed. */
const flows = 'type:=flow.ended -labels.capture:*';

/** Of the network. */
export const ofFlows: readonly Question[] = [
  {
    title: 'Which hosts send most?',
    query: `${flows} | stats by (source.ip) sum(source.bytes) sent, count() flows | sort by (sent desc) | limit 20`,
  },
  {
    title: 'Who sends most to the Internet?',
    query: `${flows} -destination.ip:in(10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,224.0.0.0/3,"::1/128","fc00::/7","fe80::/10","ff00::/8") | stats by (source.ip, destination.ip) sum(source.bytes) sent, count() flows | sort by (sent desc) | limit 20`,
  },
  {
    title: 'Who talked TLS 1.0 or 1.1?',
    query: `${flows} tls.version:in(1.0,1.1) | stats by (source.ip, destination.ip, tls.version) count() flows | sort by (flows desc) | limit 30`,
  },
  {
    title: 'Which certificates are self-signed?',
    query: `${flows} tls.server.self_signed:=true | stats by (destination.ip, tls.server.subject) count() flows | sort by (flows desc) | limit 30`,
  },
  {
    title: 'Who asks for names that do not exist?',
    query: `${flows} dns.response_code:=NXDOMAIN | stats by (source.ip) count() answers, count_uniq(dns.question.name) names | sort by (answers desc) | limit 20`,
  },
  {
    title: 'Which processes talk to most addresses?',
    query: `${flows} network.process.name:* | stats by (host, network.process.name) count_uniq(destination.ip) addresses, count() flows | sort by (addresses desc) | limit 20`,
  },
  {
    title: 'What on port 443 is neither TLS nor QUIC?',
    query: `${flows} destination.port:=443 network.application:* -network.application:in(tls,quic,https)`,
  },
  {
    title: 'Which connections were refused?',
    query: `${flows} network.tcp_state:=REJ | stats by (source.ip, destination.ip, destination.port) count() flows | sort by (flows desc) | limit 30`,
  },
];

/** Of one host. */
export function ofHost(host: string): Question[] {
  const it = term('host', host);
  return [
    { title: `What changed on ${host}?`, query: `${it} ${unchanging}` },
    {
      title: `Which processes use the most CPU on ${host}?`,
      query: `topk(20, ${selector('process_cpu_percent', { host })})`,
      page: 'metrics',
      range: '10m',
    },
    {
      title: `What happens on ${host}, by type?`,
      query: `${it} | stats by (type) count() events | sort by (events desc)`,
    },
    {
      title: `Which programs were started on ${host}?`,
      query: `${it} type:=process.execution | stats by (process.name, process.user.name) count() runs | sort by (runs desc) | limit 30`,
    },
  ];
}

/** Of one process, by its id for good and that of who started it, where known. */
export function ofProcess(uid: string, parent: string | null): Question[] {
  const it = term('process.entity_id', uid);
  const who = parent ? `(${it} OR ${term('process.entity_id', parent)})` : it;
  return [
    { title: 'Who started this process?', query: `${who} type:=process.execution`, range: '7d' },
    {
      title: 'What did this process start?',
      query: `${term('process.parent.entity_id', uid)} type:=process.execution`,
    },
    {
      title: 'How much CPU and memory did this process use, by its readings every five minutes?',
      query: `${it} type:=process.sample | stats by (process.name) avg(cpu) cpu, max(cpu) highest, max(rss) rss, count() readings`,
    },
  ];
}

/** The commonest values of a field among what a query finds. */
export function topOf(query: string, field: string, most = 10): string {
  return joinPipes(splitPipes(query).filter, `| top ${most} by (${field})`);
}
