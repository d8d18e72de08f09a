/** The socket's life: opening, resuming, breaking and waiting. */

import { BACKOFF_FIRST_MS, jitter } from './backoff';
import { CloseCode, mayReconnect } from './codes';
import { end } from './ending';
import { loadPaper, setStatus } from './loading';
import type { Welcome } from './messages';
import { release, saved } from './outbox';
import { beginSession } from './session';
import { mergeNotices, observe, sendSignals } from './signals';
import type { Turn } from './state';
import { setClock, setSection } from './timing';

/** A socket without a `welcome` by then counts as failed. */
export const WELCOME_TIMEOUT_MS = 10_000;
/** After a link that stood this long the back-off begins anew. */
const STEADY_MS = 10_000;
/** Sockets that must fail before saving goes on without them. */
const FAILURES_BEFORE_EXCHANGE = 2;

/** Opens the next socket. */
export function connect(t: Turn): void {
  const { s } = t;
  if (s.link.kind === 'live' || s.link.kind === 'ended') return;
  if (s.exchange.busy && !s.session) {
    // The exchange starts a session; a socket would start another and supersede it.
    t.effects.push({ do: 'timer', timer: 'connect', ms: BACKOFF_FIRST_MS });
    return;
  }
  s.socket += 1;
  s.link = { kind: 'connecting', resuming: false };
  s.bye = {};
  t.effects.push(
    { do: 'cancel', timer: 'connect' },
    { do: 'open', socket: s.socket },
    { do: 'timer', timer: 'welcome', ms: WELCOME_TIMEOUT_MS },
  );
}

/** Says `hello` on the open socket. */
export function opened(t: Turn): void {
  const { s } = t;
  const resume = s.session
    ? { session: s.session, next_seq: s.nextSeq, next_event: s.events.next }
    : undefined;
  s.link = { kind: 'connecting', resuming: resume !== undefined };
  t.effects.push({ do: 'hello', socket: s.socket, ...(resume ? { resume } : {}) });
}

/** Takes the `welcome` of the engine. */
export function welcome(t: Turn, message: Welcome): void {
  const { s } = t;
  const { attempt } = message;
  t.effects.push({ do: 'cancel', timer: 'welcome' }, { do: 'cancel', timer: 'exchange' });
  s.exam = attempt.exam;
  s.grace_ms = attempt.grace_ms;
  s.limits = message.limits;
  s.health = { level: message.health, heartbeat_ms: message.limits.heartbeat_ms };
  s.recordUrl = message.record.url;
  s.opens =
    attempt.opens_at === undefined
      ? null
      : { in_ms: Math.max(0, attempt.opens_at - message.now_at), at: t.env.now };
  s.link = { kind: 'live', since: t.env.now };
  s.failures = 0;
  s.exchange = { ...s.exchange, on: false };
  setClock(t, attempt);
  setSection(t, message.section);
  mergeNotices(t, message.notices);
  if (message.resumed) resumed(t, message);
  else beginSession(t, message.session);
  if (t.s.link.kind !== 'live') return;
  setStatus(t, attempt.status);
  loadPaper(t, message.paper);
  reportGap(t);
  sendSignals(t);
  t.wants.send = true;
  const first = Math.round(t.env.random * s.health.heartbeat_ms);
  t.effects.push({ do: 'timer', timer: 'heartbeat', ms: first });
}

function resumed(t: Turn, message: Welcome): void {
  const { s } = t;
  release(t, 'socket');
  saved(t, message.saved_seq);
  const next = s.outbox[0]?.command.seq ?? s.nextSeq;
  if (next > message.applied_seq + 1 || s.nextSeq <= message.applied_seq) {
    // The engine counts otherwise: another tab may have gone on with this session. The
    // numbers of that tab must not be used again, so a new session begins.
    s.session = null;
    return broken(t, CloseCode.INTERNAL_ERROR);
  }
  if (s.submitting && message.attempt.status === 'in_progress' && !submits(t)) {
    // The hand-in was settled, but the attempt goes on: it was refused.
    s.submitting = false;
    s.alert = { about: 'submit', code: 'unknown' };
  }
  s.events = { ...s.events, sent: 0 };
  const unclear = Object.keys(s.doubts).length > 0;
  if (!s.record || !s.synced || unclear) t.wants.record = true;
}

function submits(t: Turn): boolean {
  return t.s.outbox.some(({ command }) => command.t === 'submit');
}

function reportGap(t: Turn): void {
  const { brokenAt } = t.s;
  t.s.brokenAt = null;
  if (brokenAt !== null) observe(t, 'offline', { ms: Math.round(t.env.now - brokenAt) });
}

/** Handles a socket that closed, or is given up. */
export function broken(t: Turn, code: number): void {
  const { s } = t;
  const { link } = s;
  if (link.kind !== 'connecting' && link.kind !== 'live') return;
  t.effects.push(
    { do: 'close', socket: s.socket },
    { do: 'cancel', timer: 'welcome' },
    { do: 'cancel', timer: 'heartbeat' },
    { do: 'cancel', timer: 'silence' },
  );
  release(t, 'socket');
  s.heartbeat = { ...s.heartbeat, at: null };
  s.socket += 1;
  if (code === CloseCode.BAD_MESSAGE && link.kind === 'connecting' && link.resuming) {
    // The stored session was out of date: "a client that lost its count starts a new
    // session".
    s.session = null;
    s.link = { kind: 'waiting' };
    return connect(t);
  }
  if (!mayReconnect(code)) return end(t, code);
  if (link.kind === 'live') {
    s.brokenAt = t.env.now;
    s.delays = t.env.now - link.since >= STEADY_MS ? 0 : s.delays;
  } else {
    s.failures += 1;
  }
  s.delays += 1;
  s.link = { kind: 'waiting' };
  const ms = s.bye.retry_ms ?? jitter(s.delays, t.env.random);
  t.effects.push({ do: 'timer', timer: 'connect', ms });
  if (s.failures >= FAILURES_BEFORE_EXCHANGE && !s.exchange.on) {
    s.exchange = { ...s.exchange, on: true };
    t.wants.exchange = true;
  }
}
