/** Time: the engine's word, counted down with the monotonic clock. */

import { isOver } from './codes';
import type { SectionClock } from './messages';
import type { State, Turn } from './state';

/** Takes a deadline, unless a newer one is known. */
export function setClock(t: Turn, timing: { remaining_ms: number; timing_rev: number }): void {
  const known = t.s.clock;
  if (known && timing.timing_rev < known.rev) return;
  t.s.clock = { remaining_ms: timing.remaining_ms, at: t.env.now, rev: timing.timing_rev };
}

/** Takes the remaining time of `pulse`, for the deadline that is known. */
export function adjustClock(t: Turn, remaining_ms: number): void {
  if (t.s.clock) t.s.clock = { ...t.s.clock, remaining_ms, at: t.env.now };
}

/** Takes the running section, of those with a time limit; undefined where all rest. */
export function setSection(t: Turn, section: SectionClock | undefined): void {
  t.s.section = section ? { ...section, at: t.env.now } : null;
}

function left(since: { remaining_ms: number; at: number }, running: boolean, now: number): number {
  return Math.max(0, since.remaining_ms - (running ? now - since.at : 0));
}

/** Returns the attempt's remaining time, in milliseconds; null while it is not known. */
export function remainingMs(state: State, now: number): number | null {
  if (!state.clock || (state.status && isOver(state.status))) return null;
  return left(state.clock, state.status === 'in_progress', now);
}

/** Returns the running section's remaining time. */
export function sectionRemainingMs(state: State, now: number): number | null {
  return state.section ? left(state.section, state.status === 'in_progress', now) : null;
}

/** Returns the time until the lobby ends. */
export function opensInMs(state: State, now: number): number | null {
  return state.opens ? Math.max(0, state.opens.in_ms - (now - state.opens.at)) : null;
}
