import type { AgentState, Health } from '../api/types';

export type Tone = 'ok' | 'warning' | 'critical' | 'unknown';

/** The shape that says a tone without colour. */
export const marks: Record<Tone, string> = { ok: '●', warning: '▲', critical: '■', unknown: '○' };

export const healthTones: Record<Health, Tone> = {
  green: 'ok',
  yellow: 'warning',
  red: 'critical',
  unknown: 'unknown',
};

/** How a state word of the hub, log or store is to be taken. */
export function toneOf(state: string): Tone {
  switch (state) {
    case 'ok':
    case 'running':
    case 'ready':
      return 'ok';
    case 'degraded':
    case 'full':
    case 'readonly':
    case 'behind':
    case 'rebuilding':
    case 'loading':
    case 'sampled':
    case 'starting':
    case 'stopping':
      return 'warning';
    case 'failed':
    case 'unreachable':
    case 'crashed':
    case 'stopped':
    case 'set_aside':
      return 'critical';
    default:
      return 'unknown';
  }
}

const ranks: Record<Tone, number> = { ok: 0, unknown: 1, warning: 2, critical: 3 };

export function worst(tones: readonly Tone[]): Tone {
  return tones.reduce<Tone>((bad, tone) => (ranks[tone] > ranks[bad] ? tone : bad), 'ok');
}

/** The agent states in which asking for a start, or a stop, makes sense. */
export const startable: readonly AgentState[] = ['stopped', 'crashed', 'unknown'];
export const stoppable: readonly AgentState[] = ['running', 'degraded', 'starting'];
