/** The way without a socket: for long answers, and for networks that let no socket through. */

import { BACKOFF_FIRST_MS, jitter } from './backoff';
import { CloseCode, isOver } from './codes';
import type { ExchangeReply } from './messages';
import { end } from './ending';
import { setStatus } from './loading';
import { delivered, refused, release, saved, takeForExchange } from './outbox';
import { beginSession } from './session';
import { acknowledged, mergeNotices, takeSignals } from './signals';
import type { Turn } from './state';
import { setClock } from './timing';

/** Sends one exchange, unless one is under way: numbers must arrive in order. */
export function requestExchange(t: Turn): void {
  const { s } = t;
  if (s.exchange.busy || s.link.kind === 'ended') return;
  if (!s.session && s.link.kind === 'connecting') {
    // The socket starts a session, which an exchange would supersede.
    t.effects.push({ do: 'timer', timer: 'exchange', ms: BACKOFF_FIRST_MS });
    return;
  }
  const request = {
    ...(s.session ? { session: s.session, next_seq: s.nextSeq } : {}),
    commands: s.session ? takeForExchange(t) : [],
    signals: s.session && s.link.kind !== 'live' ? takeSignals(t) : [],
  };
  s.exchange = { ...s.exchange, busy: true };
  t.effects.push({ do: 'cancel', timer: 'exchange' }, { do: 'exchange', request });
}

/** Takes the answer of the engine. */
export function exchanged(t: Turn, reply: ExchangeReply): void {
  const { s } = t;
  s.exchange = { ...s.exchange, busy: false, healthy: true, delays: 0 };
  delivered(t);
  if (reply.session === s.session) {
    if (reply.refused.some(({ code }) => code === 'gap')) {
      // The count is lost: a new session begins, and issues everything again.
      s.session = null;
    } else {
      for (const refusal of reply.refused) refused(t, refusal);
      saved(t, reply.saved_seq);
    }
  } else if (s.link.kind !== 'live') {
    beginSession(t, reply.session);
  }
  setClock(t, reply);
  mergeNotices(t, reply.notices);
  if (reply.event_ack) acknowledged(t, reply.event_ack.n);
  setStatus(t, reply.status);
  if (isOver(reply.status)) t.wants.outcome = true;
  if (s.exchange.on) {
    const ms = s.session ? s.health.heartbeat_ms : 0;
    t.effects.push({ do: 'timer', timer: 'exchange', ms });
  }
}

/** Handles an exchange without an answer, or with an error for an answer. */
export function exchangeFailed(t: Turn, status: number, code: string | undefined): void {
  const { s } = t;
  release(t, 'exchange');
  s.exchange = { ...s.exchange, busy: false, healthy: false, delays: s.exchange.delays + 1 };
  if (status === 409) return end(t, CloseCode.SUPERSEDED);
  if (status === 401) return end(t, CloseCode.UNAUTHORIZED);
  if (status === 403 || status === 404) {
    return end(t, code === 'closed' ? CloseCode.CLOSED : CloseCode.FORBIDDEN);
  }
  const ms = jitter(s.exchange.delays, t.env.random);
  if (s.exchange.on || s.link.kind === 'live')
    t.effects.push({ do: 'timer', timer: 'exchange', ms });
}
