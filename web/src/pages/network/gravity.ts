import type { Event, Severity } from '$lib/api/types';
import type { Tone } from '$lib/ui/status';
import { addressesOf, findingOf } from '../findings/finding';
import type { Marked } from './graph';

/** How the gravest finding of a thing is shown: never by its colour alone. */
export function gravityMark(gravity: number): { tone: Tone; sign: string; word: string } | null {
  const words = ['', 'informational', 'low', 'medium', 'high', 'critical'];
  const word = words[gravity];
  if (!word) return null;
  if (gravity >= 4) return { tone: 'critical', sign: '■', word };
  return gravity >= 2 ? { tone: 'warning', sign: '▲', word } : { tone: 'unknown', sign: '○', word };
}

const steps: Severity[] = ['unknown', 'informational', 'low', 'medium', 'high', 'critical'];

/** What findings name of addresses. */
export function markedBy(events: readonly Event[]): Marked {
  const marked = new Map<string, { count: number; gravity: number }>();
  for (const event of events) {
    for (const ip of addressesOf(findingOf(event))) {
      const mark = marked.get(ip) ?? { count: 0, gravity: 0 };
      mark.count += 1;
      mark.gravity = Math.max(mark.gravity, 1, steps.indexOf(event.severity));
      marked.set(ip, mark);
    }
  }
  return marked;
}
