/**
 * The reducer: all inputs, and their effects.
 *
 * The parts of the core change the state and note in `Turn.wants` what they want done. The
 * turn ends once, in {@link endTurn}: first it fetches, then it sends. So no part calls
 * another back.
 */

import { CloseCode, isOver } from './codes';
import * as connection from './connection';
import { end } from './ending';
import { exchanged, exchangeFailed, requestExchange } from './exchange';
import * as loading from './loading';
import type { ServerMessage } from './messages';
import * as outbox from './outbox';
import * as signals from './signals';
import {
  beginTurn,
  type Effect,
  type Env,
  type Input,
  type State,
  type Stored,
  type Timer,
  type Turn,
} from './state';
import { adjustClock, remainingMs, setClock, setSection } from './timing';

/** Makes the next state of a state and an input. */
export function reduce(state: State, input: Input, env: Env): [State, Effect[]] {
  const turn = beginTurn(state, env);
  handle(turn, input);
  endTurn(turn);
  return [turn.s, turn.effects];
}

/** Ends a turn: fetches the wanted documents, then sends the wanted commands. */
function endTurn(t: Turn): void {
  loading.fetchWanted(t);
  if (t.wants.send) outbox.pump(t);
  if (t.wants.exchange) requestExchange(t);
}

function handle(t: Turn, input: Input): void {
  const { s } = t;
  switch (input.on) {
    case 'start':
      if (input.stored) restore(t, input.stored);
      return connection.connect(t);
    case 'opened':
      return current(t, input.socket) ? connection.opened(t) : undefined;
    case 'message':
      return current(t, input.socket) ? receive(t, input.message) : undefined;
    case 'closed':
      return current(t, input.socket) ? connection.broken(t, input.code) : undefined;
    case 'timer':
      return elapsed(t, input.timer);
    case 'network':
      return network(t, input.online);
    case 'taken':
      return end(t, CloseCode.SUPERSEDED);
    case 'exchanged':
      return exchanged(t, input.reply);
    case 'exchange_failed':
      return exchangeFailed(t, input.status, input.code);
    case 'paper':
      return loading.gotPaper(t, input.document);
    case 'unsealed':
      return loading.unsealed(t, input.sections);
    case 'record':
      return loading.gotRecord(t, input.session, input.stored);
    case 'load_failed':
      return loading.loadFailed(t, input.status);
    case 'outcome':
      s.status = input.outcome.status;
      if (isOver(input.outcome.status)) s.outcome = input.outcome;
      return;
    case 'edit':
      return editable(s) ? outbox.edit(t, input.q, input.value, input.hold) : undefined;
    case 'flush':
      return outbox.flush(t);
    case 'flag':
      if (!editable(s)) return;
      return outbox.enqueue(t, { t: 'flag', seq: 0, q: input.q, on: input.flagged });
    case 'submit':
      return submit(t);
    case 'show':
      return show(t, input.q);
    case 'resolve':
      return outbox.resolve(t, input.q, input.keep);
    case 'acknowledge':
      return signals.acknowledge(t, input.id);
    case 'dismiss':
      s.alert = null;
      return;
    case 'observe':
      signals.observe(t, input.kind, input.data);
      return signals.sendSignals(t);
  }
}

function current(t: Turn, socket: number): boolean {
  return socket === t.s.socket;
}

/** Returns whether the person may change answers at this moment. */
export function editable(state: State): boolean {
  return state.status === 'in_progress' && !state.submitting && state.link.kind !== 'ended';
}

function restore(t: Turn, stored: Stored): void {
  const { s, env } = t;
  s.session = stored.session;
  s.synced = stored.synced;
  s.nextSeq = stored.nextSeq;
  s.savedSeq = stored.savedSeq;
  s.events = { next: stored.nextEvent, sent: 0, queue: stored.events };
  s.outbox = stored.outbox.map((entry) => ({
    ...entry,
    doubtful: entry.tried,
    inFlight: null,
    since: env.now,
  }));
  s.doubts = Object.fromEntries(
    Object.entries(stored.doubts).map(([q, { value }]) => [q, { value, since: env.now }]),
  );
  s.submitting = s.outbox.some(({ command }) => command.t === 'submit');
  for (const [q, { value, base }] of Object.entries(stored.drafts)) {
    outbox.enqueueAnswer(t, q, value, base, false);
  }
}

function receive(t: Turn, message: ServerMessage): void {
  const { s } = t;
  t.effects.push({ do: 'cancel', timer: 'silence' });
  switch (message.t) {
    case 'welcome':
      return connection.welcome(t, message);
    case 'saved':
      return outbox.saved(t, message.seq);
    case 'refused':
      if (message.code === 'gap') return connection.broken(t, CloseCode.INTERNAL_ERROR);
      return outbox.refused(t, message);
    case 'pulse':
      signals.pulsed(t, message.n);
      adjustClock(t, message.remaining_ms);
      setSection(t, message.section);
      return outbox.saved(t, message.saved_seq);
    case 'event_ack':
      return signals.acknowledged(t, message.n);
    case 'open':
      setClock(t, message);
      return loading.opened(t, message.key);
    case 'timing': {
      const before = remainingMs(s, t.env.now);
      const isNews = message.timing_rev > (s.clock?.rev ?? 0);
      setClock(t, message);
      if (!isNews || before === null || message.reason !== 'extended') return;
      return signals.tellMoreTime(t, message.timing_rev, message.remaining_ms - before);
    }
    case 'health':
      s.health = { level: message.level, heartbeat_ms: message.heartbeat_ms };
      return signals.sendSignals(t);
    case 'status':
      loading.setStatus(t, message.status, message.reason);
      if (message.section !== undefined && message.section !== s.section?.id) {
        outbox.flush(t);
        s.section = null;
      }
      // The section's remaining time comes with a pulse.
      return signals.beat(t);
    case 'notice': {
      const { t: _, ...notice } = message;
      return signals.mergeNotices(t, [notice]);
    }
    case 'submitted': {
      const { t: _, ...outcome } = message;
      s.status = message.status;
      s.outcome = outcome;
      t.effects.push({ do: 'forget' });
      return;
    }
    case 'error':
      return;
    case 'bye': {
      const { t: _, code: __, ...bye } = message;
      s.bye = bye;
      return;
    }
  }
}

function elapsed(t: Turn, timer: Timer): void {
  switch (timer) {
    case 'connect':
      return connection.connect(t);
    case 'welcome':
    case 'silence':
      return connection.broken(t, CloseCode.IDLE);
    case 'heartbeat':
      return signals.beat(t);
    case 'flush':
      return outbox.flush(t);
    case 'exchange':
      if (t.s.link.kind === 'live') t.wants.send = true;
      else if (t.s.exchange.on) t.wants.exchange = true;
      return;
    case 'load':
      return loading.loadMissing(t);
  }
}

/** Takes the browser's word on the network, as a hint: an engine on the same machine or network
 * may be in reach without "the internet". So the hint starts a link, and never ends one. */
function network(t: Turn, online: boolean): void {
  if (t.s.link.kind === 'live') return signals.beat(t);
  if (!online || t.s.link.kind !== 'waiting') return;
  connection.connect(t);
  if (t.s.exchange.on) t.wants.exchange = true;
}

function submit(t: Turn): void {
  if (!editable(t.s)) return;
  outbox.flush(t);
  t.s.alert = null;
  t.s.submitting = true;
  outbox.enqueue(t, { t: 'submit', seq: 0 });
}

function show(t: Turn, q: string | null): void {
  const { s, env } = t;
  if (s.shown?.q === q) return;
  outbox.flush(t);
  if (s.shown) {
    const before = s.spent[s.shown.q] ?? 0;
    s.spent = { ...s.spent, [s.shown.q]: before + env.now - s.shown.at };
  }
  s.shown = q === null ? null : { q, at: env.now };
}
