/** Heartbeats, events and notices: the messages that do not change the record. */

import type { EventKind } from './codes';
import type { Notice, Signal } from './messages';
import type { Turn } from './state';

/** A silent socket is given up this long after a heartbeat. */
export const SILENCE_MS = 8_000;
/** Below this health events are held back. */
const HEALTH_FOR_EVENTS = 5;
/** Events that wait at most; only a flood has more, and its later events are lost. */
const EVENTS_MAX = 500;
/** Events in one exchange at most. */
const EXCHANGE_EVENTS_MAX = 100;

function heartbeat(t: Turn): Extract<Signal, { t: 'heartbeat' }> {
  const { s, env } = t;
  const n = s.heartbeat.n + 1;
  s.heartbeat = { ...s.heartbeat, n, at: env.now };
  return {
    t: 'heartbeat',
    n,
    ...(s.shown ? { q: s.shown.q } : {}),
    visible: env.visible,
    focused: env.focused,
    fullscreen: env.fullscreen,
    ...(s.heartbeat.rtt_ms === null ? {} : { rtt_ms: s.heartbeat.rtt_ms }),
  };
}

/** Sends a heartbeat, and expects a message soon. */
export function beat(t: Turn): void {
  if (t.s.link.kind !== 'live') return;
  t.effects.push(
    { do: 'send', socket: t.s.socket, message: heartbeat(t) },
    { do: 'timer', timer: 'heartbeat', ms: t.s.health.heartbeat_ms },
    { do: 'timer', timer: 'silence', ms: SILENCE_MS },
  );
}

/** Takes the answer to a heartbeat. */
export function pulsed(t: Turn, n: number): void {
  const { heartbeat: last } = t.s;
  if (n !== last.n || last.at === null) return;
  t.s.heartbeat = { n, at: null, rtt_ms: Math.round(t.env.now - last.at) };
}

/** Queues an event for the exam's rules. */
export function observe(t: Turn, kind: EventKind, data?: Record<string, unknown>): void {
  const { events } = t.s;
  if (events.queue.length >= EVENTS_MAX) return;
  const event = { t: 'event' as const, n: events.next, kind, at: Math.round(t.env.wall) };
  t.s.events = {
    ...events,
    next: events.next + 1,
    queue: [...events.queue, data ? { ...event, data } : event],
  };
}

/** Sends the events that this link has not carried yet. */
export function sendSignals(t: Turn): void {
  const { s } = t;
  if (s.link.kind !== 'live' || s.health.level < HEALTH_FOR_EVENTS) return;
  for (const message of s.events.queue.filter((event) => event.n > s.events.sent)) {
    t.effects.push({ do: 'send', socket: s.socket, message });
    s.events = { ...s.events, sent: message.n };
  }
}

/** Returns the signals of one exchange. */
export function takeSignals(t: Turn): Signal[] {
  const { s } = t;
  const acks = s.notices.filter((notice) => notice.ack && notice.acknowledged);
  return [
    heartbeat(t),
    ...acks.map(({ id }) => ({ t: 'notice_ack' as const, id })),
    ...(s.health.level < HEALTH_FOR_EVENTS ? [] : s.events.queue.slice(0, EXCHANGE_EVENTS_MAX)),
  ];
}

/** Drops the events up to `n`, which are recorded. */
export function acknowledged(t: Turn, n: number): void {
  const { events } = t.s;
  t.s.events = { ...events, queue: events.queue.filter((event) => event.n > n) };
}

/** Numbers the events anew, for a session that counts from nothing. */
export function renumberEvents(t: Turn): void {
  const queue = t.s.events.queue.map((event, index) => ({ ...event, n: index + 1 }));
  t.s.events = { next: queue.length + 1, sent: 0, queue };
}

/** Tells the person that there is more time: a clock that jumps is easily overlooked. */
export function tellMoreTime(t: Turn, rev: number, ms: number): void {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 1) return;
  const text = `You have ${minutes} more minute${minutes === 1 ? '' : 's'}.`;
  mergeNotices(t, [{ id: `more-time-${rev}`, level: 'info', text, ack: false }]);
}

/** Takes notices. A known notice was shown already, but its acknowledgement may have been
 * lost. */
export function mergeNotices(t: Turn, notices: Notice[]): void {
  for (const notice of notices) {
    const known = t.s.notices.find(({ id }) => id === notice.id);
    if (!known) t.s.notices = [...t.s.notices, { ...notice, acknowledged: false }];
    else if (known.acknowledged && notice.ack) sendAck(t, notice.id);
  }
}

/** Notes that the person has read a notice. */
export function acknowledge(t: Turn, id: string): void {
  const notice = t.s.notices.find((other) => other.id === id);
  if (!notice || notice.acknowledged) return;
  t.s.notices = t.s.notices.map((other) =>
    other === notice ? { ...other, acknowledged: true } : other,
  );
  if (notice.ack) sendAck(t, id);
}

function sendAck(t: Turn, id: string): void {
  // Without a link the notice comes again with the next `welcome`.
  if (t.s.link.kind !== 'live') return;
  t.effects.push({ do: 'send', socket: t.s.socket, message: { t: 'notice_ack', id } });
}
