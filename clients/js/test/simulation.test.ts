/**
 * Random people on random networks: frames get lost with their connection, on either side
 * of the engine; tabs die; other devices answer. Whatever happens,
 *
 * - the engine has every answer that the page calls saved, and
 * - when the network is good again, the engine has the person's last answers, or the person
 *   was shown both versions.
 *
 * A seed that fails is printed; `run(seed)` alone replays it.
 */

import { describe, expect, it } from 'vitest';
import type { Command } from '../src/messages';
import { toStored } from '../src/storage';
import { saveState, valueOf } from '../src/view';
import { Client, PAPER } from './client';
import { FakeEngine } from './engine';

const QUESTIONS = ['q1', 'q2', 'q3'];
const STEPS = 120;
/** Far more than a thousand seeds take, on a busy machine too. */
const TIMEOUT_MS = 60_000;
const SEEDS = 1000;

/** Mulberry32: small, seeded, good enough to choose steps. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class World {
  client = new Client();
  readonly engine = new FakeEngine();
  /** The person's last answer to each question. */
  readonly written: Record<string, string> = {};
  /** Frames on their way, of the current socket. */
  #up: Command[] = [];
  #down: Parameters<Client['hear']>[0][] = [];
  #wanted = { open: false, record: false };
  #hello: { session: string; next_seq: number } | undefined;

  constructor(readonly random: () => number) {
    this.#do(() => this.client.do({ on: 'start', stored: null }));
  }

  /** Makes an input, and takes its effects. */
  #do(input: () => void): void {
    this.client.env.random = this.random();
    this.client.env.now += 10;
    input();
    for (const effect of this.client.effects) {
      if (effect.do === 'open') this.#wanted.open = true;
      if (effect.do === 'hello') this.#hello = effect.resume;
      if (effect.do === 'send' && 'seq' in effect.message) this.#up.push(effect.message);
      if (effect.do === 'close') [this.#up, this.#down] = [[], []];
      if (effect.do === 'fetch_record') this.#wanted.record = true;
    }
  }

  edit(): void {
    const q = QUESTIONS[Math.floor(this.random() * QUESTIONS.length)] ?? 'q1';
    if (this.client.state.rejected[q]) return;
    const value = `${q}-${this.client.env.now}`;
    const before = this.client.state;
    this.#do(() => this.client.edit(q, value, this.random() < 0.5));
    if (this.client.state.drafts !== before.drafts || this.client.state.outbox !== before.outbox) {
      this.written[q] = value;
    }
  }

  flush = () => this.#do(() => this.client.do({ on: 'flush' }));

  deliverUp(): void {
    const command = this.#up.shift();
    if (command) this.#down.push(...this.engine.receive(command));
  }

  deliverDown(): void {
    const message = this.#down.shift();
    if (message) this.#do(() => this.client.hear(message));
  }

  commit = () => void this.#down.push(...this.engine.commit());

  record(): void {
    if (!this.#wanted.record) return;
    this.#wanted.record = false;
    this.commit();
    const { session } = this.client.state;
    const stored = this.engine.stored();
    this.#do(() => this.client.do({ on: 'record', session, stored }));
  }

  /** Breaks the connection; some frames on their way arrive all the same. */
  break(): void {
    for (let left = Math.floor(this.random() * 4); left > 0; left -= 1) this.deliverUp();
    this.#do(() => this.client.close(1006));
    [this.#up, this.#down] = [[], []];
    this.#wanted.open = false;
  }

  connect(): void {
    if (this.client.state.link.kind === 'waiting') {
      this.#do(() => this.client.do({ on: 'timer', timer: 'connect' }));
    }
    if (!this.#wanted.open) return;
    this.#wanted.open = false;
    this.#do(() => this.client.do({ on: 'opened', socket: this.client.state.socket }));
    const message = this.engine.hello(this.#hello);
    this.#do(() => this.client.hear(message));
    this.#do(() => this.client.do({ on: 'paper', document: PAPER }));
  }

  die(): void {
    const stored = structuredClone(toStored(this.client.state));
    const rejected = this.client.state.rejected;
    // A conflict on the screen is gone with it; its versions are in the timeline.
    for (const q of Object.keys(rejected)) delete this.written[q];
    this.break();
    const { now } = this.client.env;
    this.client = new Client();
    this.client.env.now = now;
    this.#do(() => this.client.do({ on: 'start', stored }));
  }

  answerElsewhere(): void {
    const q = QUESTIONS[Math.floor(this.random() * QUESTIONS.length)] ?? 'q1';
    this.break();
    this.engine.answerElsewhere(q, `elsewhere-${this.client.env.now}`);
    // An answer of this device that was saved is replaced.
    const { state } = this.client;
    if (saveState(state, q, state.link.kind === 'live' ? this.client.env.now : 0) === 'saved') {
      delete this.written[q];
    }
  }

  settle(): void {
    this.flush();
    for (let round = 0; round < 60; round += 1) {
      this.connect();
      this.record();
      for (let i = 0; i < 20; i += 1) this.deliverUp();
      this.commit();
      for (let i = 0; i < 40; i += 1) this.deliverDown();
    }
  }

  /** Checks that the page calls no answer saved that the engine has not promised to keep. */
  check(seed: number): void {
    const { state, env } = this.client;
    if (state.link.kind !== 'live' || !state.synced || !state.record) return;
    for (const q of QUESTIONS) {
      if (saveState(state, q, env.now) !== 'saved' || this.#wanted.record) continue;
      const value = valueOf(state, q);
      expect(this.engine.has(q, value), `seed ${seed}: ${q} is not stored`).toBe(true);
    }
  }
}

function run(seed: number, elsewhere: boolean): void {
  const random = chance(seed);
  const world = new World(random);
  const steps: [weight: number, step: () => void][] = [
    [10, () => world.edit()],
    [6, () => world.flush()],
    [14, () => world.deliverUp()],
    [14, () => world.deliverDown()],
    [6, () => world.commit()],
    [8, () => world.connect()],
    [8, () => world.record()],
    [3, () => world.break()],
    [1, () => world.die()],
    [elsewhere ? 1 : 0, () => world.answerElsewhere()],
  ];
  const total = steps.reduce((sum, [weight]) => sum + weight, 0);
  for (let i = 0; i < STEPS; i += 1) {
    let pick = random() * total;
    steps.find(([weight]) => (pick -= weight) < 0)?.[1]();
    world.check(seed);
  }
  world.settle();
  const { state, env } = world.client;
  expect(state.outbox, `seed ${seed}: the outbox is empty`).toEqual([]);
  for (const [q, value] of Object.entries(world.written)) {
    const shown = state.rejected[q]?.code === 'conflict' && state.rejected[q].value === value;
    const ok = shown || world.engine.has(q, value);
    expect(ok, `seed ${seed}: ${q} should be ${value}`).toBe(true);
    if (!shown) expect(saveState(state, q, env.now)).toBe('saved');
  }
}

describe('a simulated exam', () => {
  it(
    `loses no answer on a bad network (${SEEDS} seeds)`,
    () => {
      for (let seed = 1; seed <= SEEDS; seed += 1) run(seed, false);
    },
    TIMEOUT_MS,
  );

  it(
    `loses no answer with a second device either (${SEEDS} seeds)`,
    () => {
      for (let seed = 1; seed <= SEEDS; seed += 1) run(seed, true);
    },
    TIMEOUT_MS,
  );
});
