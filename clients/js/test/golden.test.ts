import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { ServerMessage } from '../src/messages';
import { reduce } from '../src/reduce';
import { initialState, type Effect, type Env, type Input, type State } from '../src/state';

const folder = fileURLToPath(new URL('../../../tests/fixtures/protocol/', import.meta.url));
const page = { visible: true, focused: true, fullscreen: false };
const env = (now: number): Env => ({ now, wall: now, random: 0.5, ...page });

function golden(name: string): ServerMessage {
  return JSON.parse(readFileSync(folder + name, 'utf8')) as ServerMessage;
}

/** A client that said hello, and what it does with one input after the other. */
function drive(inputs: Input[]): [State, Effect[]] {
  let state = initialState('1');
  const effects: Effect[] = [];
  inputs.forEach((input, now) => {
    const socket = state.socket;
    const [next, more] = reduce(state, 'socket' in input ? { ...input, socket } : input, env(now));
    state = next;
    effects.push(...more);
  });
  return [state, effects];
}

const hello: Input[] = [
  { on: 'start', stored: null },
  { on: 'opened', socket: 0 },
];

/** The engine's first word to a client that it did not know. */
function welcome(): ServerMessage {
  const message = golden('candidate.engine.welcome.json');
  return { ...message, resumed: false, saved_seq: 0, applied_seq: 0 } as ServerMessage;
}

function received(messages: ServerMessage[]): Input[] {
  return messages.map((message) => ({ on: 'message', socket: 0, message }));
}

const names = readdirSync(folder).filter((name) => name.startsWith('candidate.engine.'));

test.each(names)('%s is understood', (name) => {
  const message = name.includes('welcome') ? welcome() : golden(name);
  const [before] = drive([...hello, ...received([welcome()])]);
  expect(before.link.kind).toBe('live');
  expect(before.session).toBe('s-1');
  const [after] = drive([...hello, ...received([welcome(), message])]);
  expect(after.attemptId).toBe('1');
});

test('a deadline that is older than the one known changes nothing', () => {
  const timing = golden('candidate.engine.timing.json');
  const old = { ...timing, timing_rev: 0, remaining_ms: 1 } as ServerMessage;
  const [known] = drive([...hello, ...received([welcome()])]);
  const [after] = drive([...hello, ...received([welcome(), old])]);
  expect(after.clock?.remaining_ms).toBe(known.clock?.remaining_ms);
});
