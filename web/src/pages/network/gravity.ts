import type { Tone } from '$lib/ui/status';

/** How the gravest finding of a thing is shown: never by its colour alone. */
export function gravityMark(gravity: number): { tone: Tone; sign: string; word: string } | null {
  const words = ['', 'informational', 'low', 'medium', 'high', 'critical'];
  const word = words[gravity];
  if (!word) return null;
  if (gravity >= 4) return { tone: 'critical', sign: '■', word };
  return gravity >= 2 ? { tone: 'warning', sign: '▲', word } : { tone: 'unknown', sign: '○', word };
}
