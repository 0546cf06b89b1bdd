import type { Agent } from '$lib/api/types';

/** What may be told of the agents that watch the network when there are no flows. */
export interface FlowSource {
  text: string;
  /** The command that makes flows come, where one does. */
  command: string;
  /** The agent to look at, as host/id, where it is one. */
  agent: string;
}

const none = 'Flows are told by the flow agent, which amoskys up runs on each Linux host. ';
const right =
  'It needs CAP_NET_RAW to see packets; where it lacks that, Agents has the command that grants it.';

/** Says why no flow may have ended: no agent watches, one is off, or all is quiet. */
export function flowSource(list: readonly Agent[]): FlowSource {
  const flow = list.filter((agent) => agent.kind === 'flow' || agent.id === 'flow_agent');
  const key = (agent: Agent) => `${agent.host}/${agent.id}`;
  const watching = flow.filter((agent) => agent.state === 'running' || agent.state === 'degraded');
  const degraded = watching.find((agent) => agent.health !== 'green' && agent.detail !== '');
  if (flow.length === 0) return { text: none + right, command: 'amoskys up', agent: '' };
  if (watching.length === 0) {
    const off = flow.find((agent) => agent.detail !== '') ?? flow[0];
    if (!off) return { text: none + right, command: 'amoskys up', agent: '' };
    // A node says what to do as "off: needs CAP_NET_RAW: COMMAND".
    const [, needs = '', command = ''] = /^off: needs ([^:]+): (.+)$/s.exec(off.detail) ?? [];
    if (command)
      return {
        text: `The flow agent of ${off.host} is off: it needs ${needs}. Start the node so that it holds it:`,
        command,
        agent: key(off),
      };
    const why = off.detail ? `: ${off.detail}` : '';
    return { text: `The flow agent of ${off.host} is ${off.state}${why}.`, command: '', agent: key(off) };
  }
  if (degraded)
    return {
      text: `The flow agent of ${degraded.host} is not well: ${degraded.detail}.`,
      command: '',
      agent: key(degraded),
    };
  const who = watching.length === 1 ? `on ${watching[0]?.host}` : `on ${watching.length} hosts`;
  return {
    text: `The flow agent watches ${who}. What has not ended yet is under “Open now”.`,
    command: '',
    agent: '',
  };
}
