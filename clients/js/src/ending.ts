/** The end of a client's way through an attempt. */

import { CloseCode, isOver } from './codes';
import type { State, Turn } from './state';

/** Ends the link: nothing reconnects by itself from here. */
export function end(t: Turn, code: number): void {
  const { s } = t;
  if (s.link.kind === 'ended') return;
  const { detail } = s.bye;
  const timers = ['connect', 'welcome', 'heartbeat', 'silence', 'exchange', 'load'] as const;
  t.effects.push({ do: 'close', socket: s.socket });
  for (const timer of timers) t.effects.push({ do: 'cancel', timer });
  s.exchange = { ...s.exchange, on: false };
  s.link = { kind: 'ended', code, ...(detail === undefined ? {} : { detail }) };
  const over = code === CloseCode.FINISHED || code === CloseCode.CLOSED;
  if (over) t.wants.outcome = true;
  if (over || (s.status && isOver(s.status))) t.effects.push({ do: 'forget' });
}

/** Returns whether the attempt is over as far as this client was told. */
export function isFinished(s: State): boolean {
  if (s.status && isOver(s.status)) return true;
  const { link } = s;
  return (
    link.kind === 'ended' && (link.code === CloseCode.FINISHED || link.code === CloseCode.CLOSED)
  );
}
