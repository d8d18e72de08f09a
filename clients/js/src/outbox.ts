/**
 * The outbox: commands from the person's hand until the engine called them saved.
 *
 * Entries stand in the order of their numbers, without gaps. An entry that was never sent in
 * this session may still take a newer value of its question. A sent entry may not: the engine
 * may have it already, and would take the changed entry for a repeat.
 */

import type { Command, ExchangeRequest, Refused } from './messages';
import { isAnswered, sameValue, type StoredAnswer, type Value } from './paper';
import type { Draft, Entry, Turn } from './state';

/** Typing is sent after this pause … */
export const FLUSH_IDLE_MS = 800;
/** … and after this time even without one. */
export const FLUSH_HOLD_MAX_MS = 3_000;
/** Longer values go through `exchange`: frames end at 16 KiB. */
export const SOCKET_VALUE_BYTES_MAX = 12 * 1024;
/** Commands in one exchange at most, and about their bytes. */
const EXCHANGE_COMMANDS_MAX = 100;
const EXCHANGE_BYTES_MAX = 1_500_000;

const UNANSWERED: StoredAnswer = { value: null, flagged: false, rev: 0 };

/** Returns the bytes of a value on the wire. */
export function wireBytes(value: unknown): number {
  return new TextEncoder().encode(JSON.stringify(value)).length;
}

function answersTo(outbox: Entry[], q: string): Entry[] {
  return outbox.filter((entry) => entry.command.t === 'answer' && entry.command.q === q);
}

/** Returns the revision that an edit made at this moment stands on. */
function currentBase(t: Turn, q: string): number {
  return (t.s.record?.[q]?.rev ?? 0) + answersTo(t.s.outbox, q).length;
}

/** Takes a change of an answer by the person. */
export function edit(t: Turn, q: string, value: Value, hold: boolean): void {
  const before = t.s.drafts[q];
  const draft: Draft = before
    ? { ...before, value }
    : { value, base: currentBase(t, q), since: t.env.now };
  t.s.drafts = { ...t.s.drafts, [q]: draft };
  t.s.rejected = without(t.s.rejected, q);
  if (!hold) return flush(t);
  const held = t.env.now - draft.since;
  t.effects.push({
    do: 'timer',
    timer: 'flush',
    ms: Math.max(0, Math.min(FLUSH_IDLE_MS, FLUSH_HOLD_MAX_MS - held)),
  });
}

/** Moves the drafts into the outbox, and wants them sent. */
export function flush(t: Turn): void {
  for (const [q, draft] of Object.entries(t.s.drafts)) enqueueDraft(t, q, draft);
  if (Object.keys(t.s.drafts).length > 0) t.s.drafts = {};
  t.effects.push({ do: 'cancel', timer: 'flush' });
  t.wants.send = true;
}

function enqueueDraft(t: Turn, q: string, draft: Draft): void {
  const value = isAnswered(draft.value) ? draft.value : null;
  const last = answersTo(t.s.outbox, q).at(-1)?.command;
  const known = last?.t === 'answer' ? last.value : t.s.record ? storedValue(t, q) : undefined;
  if (known !== undefined && sameValue(known, value)) return;
  if (wireBytes(value) > t.s.limits.answer_bytes) {
    t.s.rejected = { ...t.s.rejected, [q]: { code: 'too_large', value: draft.value } };
    return;
  }
  enqueueAnswer(t, q, value, draft.base, false);
}

function storedValue(t: Turn, q: string): Value {
  return t.s.record?.[q]?.value ?? null;
}

/** Puts an answer at the end of the outbox, or into the unsent answer to its question. */
export function enqueueAnswer(t: Turn, q: string, value: Value, base: number, check: boolean) {
  const spent_ms = takeSpent(t, q);
  const open = answersTo(t.s.outbox, q).at(-1);
  if (open && !open.tried && open.command.t === 'answer') {
    const spent = (open.command.spent_ms ?? 0) + spent_ms;
    const command: Command = { ...open.command, value, spent_ms: spent };
    t.s.outbox = t.s.outbox.map((entry) => (entry === open ? { ...open, command } : entry));
    return;
  }
  enqueue(t, { t: 'answer', seq: 0, q, value, spent_ms }, base, check);
}

/** Puts a command at the end of the outbox, under the next number, and wants it sent. */
export function enqueue(t: Turn, command: Command, base = 0, check = false): void {
  const seq = t.s.nextSeq;
  t.s.nextSeq = seq + 1;
  const entry: Entry = {
    command: { ...command, seq },
    base,
    check,
    tried: false,
    doubtful: false,
    inFlight: null,
    since: t.env.now,
  };
  t.s.outbox = [...t.s.outbox, entry];
  t.wants.send = true;
}

/** Numbers the commands anew, for a session that counts from nothing. */
export function renumber(t: Turn): void {
  t.s.nextSeq = t.s.outbox.length + 1;
  t.s.outbox = t.s.outbox.map((entry, index) => ({
    ...entry,
    command: { ...entry.command, seq: index + 1 },
    tried: false,
    doubtful: false,
    inFlight: null,
  }));
}

function takeSpent(t: Turn, q: string): number {
  const shown = t.s.shown;
  let spent = t.s.spent[q] ?? 0;
  if (shown?.q === q) {
    spent += t.env.now - shown.at;
    t.s.shown = { q, at: t.env.now };
  }
  t.s.spent = { ...t.s.spent, [q]: 0 };
  return Math.round(spent);
}

/** Returns an entry's command as it goes over the wire. */
function wire(entry: Entry): Command {
  const { command } = entry;
  return command.t === 'answer' && entry.check ? { ...command, base_rev: entry.base } : command;
}

/** Returns whether an answer waits for word on an earlier answer to its question: the earlier
 * one may meet a conflict, and a later text must not win unseen. */
function mustWait(t: Turn, ahead: Entry[], { command }: Entry): boolean {
  if (command.t !== 'answer') return false;
  return command.q in t.s.doubts || answersTo(ahead, command.q).some(({ check }) => check);
}

/** Sends the commands that may be sent at this moment, or wants an exchange for them. */
export function pump(t: Turn): void {
  const s = t.s;
  if (!s.session || !s.synced || s.exchange.busy) return;
  if (s.link.kind === 'live') pumpSocket(t);
  else if (s.exchange.on && s.outbox.length > 0) t.wants.exchange = true;
}

function pumpSocket(t: Turn): void {
  const outbox = [...t.s.outbox];
  for (const [index, entry] of outbox.entries()) {
    if (entry.inFlight) continue;
    const ahead = outbox.slice(0, index);
    if (ahead.length >= t.s.limits.unsaved || mustWait(t, ahead, entry)) break;
    const message = wire(entry);
    if (message.t === 'answer' && wireBytes(message.value) > SOCKET_VALUE_BYTES_MAX) {
      // The exchange could overtake the socket: this command goes alone.
      if (ahead.length === 0) t.wants.exchange = true;
      return;
    }
    const sent: Entry = { ...entry, tried: true, inFlight: 'socket' };
    outbox[index] = sent;
    t.s.outbox = t.s.outbox.map((other) => (other === entry ? sent : other));
    t.effects.push({ do: 'send', socket: t.s.socket, message });
  }
}

/** Takes the commands of one exchange. With a live socket that is the first command alone,
 * which was too long for a frame. */
export function takeForExchange(t: Turn): ExchangeRequest['commands'] {
  if (!t.s.synced) return [];
  const alone = t.s.link.kind === 'live';
  const commands: Command[] = [];
  let bytes = 0;
  const taken: Entry[] = [];
  for (const entry of t.s.outbox) {
    const message = wire(entry);
    bytes += wireBytes(message);
    const full =
      commands.length >= (alone ? 1 : EXCHANGE_COMMANDS_MAX) || bytes > EXCHANGE_BYTES_MAX;
    if ((full && commands.length > 0) || mustWait(t, taken, entry)) break;
    commands.push(message);
    taken.push(entry);
  }
  t.s.outbox = t.s.outbox.map((entry) =>
    taken.includes(entry) ? { ...entry, tried: true, inFlight: 'exchange' } : entry,
  );
  return commands;
}

/** Releases the commands of a carrier that is gone. They are sent again; the engine's word on
 * them may be lost. */
export function release(t: Turn, carrier: 'socket' | 'exchange'): void {
  t.s.outbox = t.s.outbox.map((entry) =>
    entry.inFlight === carrier ? { ...entry, inFlight: null, doubtful: true } : entry,
  );
}

/** Notes that the exchange was answered: it carries nothing any more, and the next may go. */
export function delivered(t: Turn): void {
  t.s.outbox = t.s.outbox.map((entry) =>
    entry.inFlight === 'exchange' ? { ...entry, inFlight: null } : entry,
  );
  t.wants.send = true;
}

/** Settles the commands up to `seq`, which are durable or were refused before. */
export function saved(t: Turn, seq: number): void {
  const before = t.s.doubts;
  settle(t, seq);
  if (t.s.doubts !== before) t.wants.record = true;
  t.wants.send = true;
}

/** Moves settled commands out of the outbox, into the record or among the doubts. */
function settle(t: Turn, seq: number): void {
  if (seq <= t.s.savedSeq) return;
  t.s.savedSeq = seq;
  const done = t.s.outbox.filter((entry) => entry.command.seq <= seq);
  if (done.length === 0) return;
  t.s.outbox = t.s.outbox.filter((entry) => entry.command.seq > seq);
  const record = { ...t.s.record };
  for (const { command, doubtful, since } of done) {
    if (command.t === 'submit') continue;
    const before = record[command.q] ?? UNANSWERED;
    if (command.t === 'flag') {
      record[command.q] = { ...before, flagged: command.on };
    } else if (doubtful) {
      t.s.doubts = { ...t.s.doubts, [command.q]: { value: command.value, since } };
    } else {
      record[command.q] = { ...before, value: command.value, rev: before.rev + 1 };
      t.s.doubts = without(t.s.doubts, command.q);
    }
  }
  if (t.s.record) t.s.record = record;
}

/** Takes the stored answers, up to `seq`. An answer in doubt is among them, or it was refused.
 * Commands that they settle are in doubt too, since they may overtake a refusal. */
export function takeRecord(t: Turn, answers: Record<string, StoredAnswer>, seq: number): void {
  t.s.outbox = t.s.outbox.map((entry) =>
    entry.command.seq <= seq ? { ...entry, doubtful: true } : entry,
  );
  settle(t, seq);
  t.s.record = answers;
  const { doubts } = t.s;
  t.s.doubts = {};
  for (const [q, { value }] of Object.entries(doubts)) {
    const { rev, value: theirs } = t.s.record?.[q] ?? UNANSWERED;
    const ours = [value, ...answersTo(t.s.outbox, q).map(valueIn)];
    if (ours.some((own) => sameValue(own, theirs))) continue;
    reject(t, q, { seq: 0, code: 'conflict', detail: { rev, value: theirs } }, value);
  }
}

const valueIn = ({ command }: Entry): Value => (command.t === 'answer' ? command.value : null);

/** Takes the refusal of a command. `gap` is not handled here: it voids no command. */
export function refused(t: Turn, refusal: Refused): void {
  t.wants.send = true;
  const entry = t.s.outbox.find(({ command }) => command.seq === refusal.seq);
  t.s.outbox = t.s.outbox.filter((other) => other !== entry);
  const command = entry?.command;
  if (command?.t === 'submit') {
    t.s.submitting = false;
    t.s.alert = { about: 'submit', code: refusal.code };
    return;
  }
  if (command?.t === 'flag') {
    t.s.alert = { about: 'flag', code: refusal.code };
    return;
  }
  const q = command?.q ?? refusal.q;
  if (q === undefined) return;
  if (command) return reject(t, q, refusal, command.value);
  // A late word on a settled command: the stored answers tell, unless the person was told
  // already.
  if (q in t.s.rejected) return;
  const value = t.s.doubts[q]?.value ?? storedValue(t, q);
  t.s.doubts = without(t.s.doubts, q);
  t.wants.record = true;
  if (!sameValue(value, refusal.detail.value ?? null)) reject(t, q, refusal, value);
}

function reject(t: Turn, q: string, refusal: Refused, value: Value): void {
  const later = answersTo(t.s.outbox, q).at(-1)?.command;
  const newest = t.s.drafts[q]?.value ?? (later?.t === 'answer' ? later.value : value);
  if (refusal.code === 'conflict') {
    const theirs = { rev: refusal.detail.rev ?? 0, value: refusal.detail.value ?? null };
    withdraw(t, q);
    t.s.drafts = without(t.s.drafts, q);
    t.s.rejected = { ...t.s.rejected, [q]: { code: 'conflict', value: newest, theirs } };
    const before = t.s.record?.[q] ?? UNANSWERED;
    t.s.record = { ...t.s.record, [q]: { ...before, ...theirs } };
  } else if (!later && !(q in t.s.drafts)) {
    t.s.rejected = { ...t.s.rejected, [q]: { code: refusal.code, value } };
  }
}

/** Takes the unsent answers to a question back, and closes the gap in the numbers. */
function withdraw(t: Turn, q: string): void {
  const mine = (entry: Entry) =>
    !entry.tried && entry.command.t === 'answer' && entry.command.q === q;
  const first = t.s.outbox.find((entry) => !entry.tried)?.command.seq;
  if (first === undefined || !t.s.outbox.some(mine)) return;
  let seq = first;
  t.s.outbox = t.s.outbox
    .filter((entry) => !mine(entry))
    .map((entry) =>
      entry.tried ? entry : { ...entry, command: { ...entry.command, seq: seq++ } },
    );
  t.s.nextSeq = seq;
}

/** Takes the person's choice between two versions of an answer. */
export function resolve(t: Turn, q: string, keep: 'mine' | 'theirs'): void {
  const rejection = t.s.rejected[q];
  if (!rejection?.theirs) return;
  t.s.rejected = without(t.s.rejected, q);
  if (keep === 'mine') enqueueAnswer(t, q, rejection.value, rejection.theirs.rev, true);
  t.wants.send = true;
}

/** Issues the answers again that a pause refused. */
export function retryPaused(t: Turn): void {
  for (const [q, rejection] of Object.entries(t.s.rejected)) {
    if (rejection.code !== 'paused') continue;
    t.s.rejected = without(t.s.rejected, q);
    enqueueAnswer(t, q, rejection.value, currentBase(t, q), false);
  }
  t.wants.send = true;
}

/**
 * Issues the unsaved answers again, once a new session has the stored answers: under new
 * numbers, and with the revision that each answer edited. A stored answer that is newer but
 * was sent by this client in the old session is no conflict.
 */
export function reissue(t: Turn): void {
  const record = t.s.record ?? {};
  for (const [q, draft] of Object.entries(t.s.drafts)) enqueueDraft(t, q, draft);
  t.s.drafts = {};
  const pending = t.s.outbox;
  t.s.outbox = [];
  t.s.nextSeq = 1;
  for (const q of new Set(pending.flatMap(({ command }) => ('q' in command ? [command.q] : [])))) {
    const stored = record[q] ?? UNANSWERED;
    const answers = answersTo(pending, q);
    const values = answers.map(valueIn);
    const last = values.at(-1);
    if (last !== undefined && !sameValue(last, stored.value)) {
      const ours = values.some((value) => sameValue(value, stored.value));
      const base = ours ? stored.rev : (answers[0]?.base ?? 0);
      enqueue(t, { t: 'answer', seq: 0, q, value: last }, base, true);
    }
    const flag = pending.findLast(({ command }) => command.t === 'flag' && command.q === q);
    if (flag?.command.t === 'flag' && flag.command.on !== stored.flagged) enqueue(t, flag.command);
  }
  if (pending.some(({ command }) => command.t === 'submit')) {
    // The answers may have changed elsewhere: the person must hand in again.
    t.s.submitting = false;
    t.s.alert = { about: 'session', code: 'lost_session' };
  }
}

/** Returns a record without one of its keys. */
export function without<T>(record: Record<string, T>, key: string): Record<string, T> {
  if (!(key in record)) return record;
  const { [key]: _, ...rest } = record;
  return rest;
}
