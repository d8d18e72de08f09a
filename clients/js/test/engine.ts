/**
 * An engine in a few lines, for the simulation: sessions, numbers, revisions and durability
 * as in `docs/protocol.md`, without time, papers and proctors.
 *
 * Extending it: a rule belongs here when a client that breaks it could lose an answer. The
 * other rules of an engine are tested with a real engine.
 */

import type { Command, ServerMessage } from '../src/messages';
import { sameValue, type StoredAnswer, type StoredAnswers, type Value } from '../src/paper';
import { welcome } from './client';

export class FakeEngine {
  answers: Record<string, StoredAnswer> = {};
  /** Every value that was ever called saved, by question. */
  promised: Record<string, Value> = {};
  #session = 0;
  #applied = 0;
  #saved = 0;
  #pending: { seq: number; q?: string; value?: Value }[] = [];

  hello(resume?: { session: string; next_seq: number }): ServerMessage {
    const resumed = resume?.session === this.#name();
    if (!resumed) this.takeOver();
    return welcome({
      session: this.#name(),
      resumed,
      saved_seq: this.#saved,
      applied_seq: this.#applied,
    });
  }

  /** Begins a session of another device. */
  takeOver(): void {
    this.commit();
    this.#session += 1;
    this.#applied = 0;
    this.#saved = 0;
  }

  /** Takes an answer of another device. */
  answerElsewhere(q: string, value: Value): void {
    this.takeOver();
    this.#accept(q, value);
  }

  receive(command: Command): ServerMessage[] {
    if (command.seq <= this.#applied) return [];
    if (command.seq > this.#applied + 1) {
      const detail = { expected: this.#applied + 1 };
      return [{ t: 'refused', seq: command.seq, code: 'gap', detail }];
    }
    this.#applied = command.seq;
    this.#pending.push({ seq: command.seq });
    if (command.t !== 'answer') return [];
    const stored = this.answers[command.q];
    if (command.base_rev !== undefined && stored && stored.rev > command.base_rev) {
      const { rev, value } = stored;
      return [
        { t: 'refused', seq: command.seq, q: command.q, code: 'conflict', detail: { rev, value } },
      ];
    }
    this.#accept(command.q, command.value);
    this.#pending.push({ seq: command.seq, q: command.q, value: command.value });
    return [];
  }

  commit(): ServerMessage[] {
    for (const { q, value } of this.#pending) {
      if (q !== undefined) this.promised[q] = value ?? null;
    }
    this.#pending = [];
    if (this.#saved === this.#applied) return [];
    this.#saved = this.#applied;
    return [{ t: 'saved', seq: this.#saved }];
  }

  stored(): StoredAnswers {
    return {
      session: this.#name(),
      saved_seq: this.#saved,
      answers: structuredClone(this.answers),
    };
  }

  has(q: string, value: Value): boolean {
    return sameValue(this.answers[q]?.value ?? null, value);
  }

  #accept(q: string, value: Value): void {
    const before = this.answers[q];
    this.answers[q] = { value, flagged: before?.flagged ?? false, rev: (before?.rev ?? 0) + 1 };
  }

  #name(): string {
    return `s-${this.#session}`;
  }
}
