/**
 * The golden messages of the protocol, with which the Rust types are tested too: the core
 * understands each message of the engine, and its own messages have no other form.
 */

import { describe, expect, it } from 'vitest';
import type { ClientMessage, ExchangeReply, ServerMessage } from '../src/messages';
import { remainingMs } from '../src/timing';
import { Client, PAPER, welcome } from './client';

const files = import.meta.glob<unknown>('../../../tests/fixtures/protocol/*.json', {
  eager: true,
  import: 'default',
});
const there = Object.keys(files).length > 0;
if (!there) console.warn('SKIPPED: golden messages: there is no tests/fixtures/protocol');

function golden<T>(prefix: string): [name: string, message: T][] {
  return Object.entries(files)
    .map(([path, message]): [string, T] => [path.slice(path.lastIndexOf('/') + 1), message as T])
    .filter(([name]) => name.startsWith(prefix));
}

const said = Object.fromEntries(golden<ServerMessage>('candidate.engine.'));
function one<T extends ServerMessage['t']>(t: T, name = t as string) {
  return said[`candidate.engine.${name}.json`] as Extract<ServerMessage, { t: T }>;
}

describe.skipIf(!there)('golden messages of the engine', () => {
  it('are all there', () => {
    const types = new Set(Object.values(said).map(({ t }) => t));
    expect([...types].sort()).toEqual(
      [
        ...['bye', 'error', 'event_ack', 'health', 'notice', 'open', 'pulse', 'refused'],
        ...['saved', 'status', 'submitted', 'timing', 'welcome'],
      ].sort(),
    );
  });

  it.each(Object.entries(said))('%s is understood', (_, message) => {
    const client = new Client();
    if (message.t === 'welcome') {
      client.do({ on: 'start', stored: null }).greeted({ ...message, resumed: false });
      expect(client.state).toMatchObject({ link: { kind: 'live' }, session: message.session });
    } else {
      client.live().edit('q1', 'a');
      for (let i = 0; i < 10; i += 1) client.do({ on: 'observe', kind: 'copy' });
      const before = JSON.stringify(client.state);
      client.hear(message);
      // Each message changes the state, except `error`, which is for people who debug, and
      // a `bye` that says no more than the close code after it.
      const empty =
        message.t === 'error' || (message.t === 'bye' && Object.keys(message).length === 2);
      expect(JSON.stringify(client.state) === before).toBe(empty);
    }
  });

  it('mean what they say', () => {
    const client = new Client()
      .do({ on: 'start', stored: null })
      .greeted(one('welcome', 'welcome.lobby'));
    expect(client.state).toMatchObject({ status: 'started', paper: { sealed: null } });
    expect(client.state.opens).not.toBeNull();
    client.hear(one('open'));
    expect(client.state).toMatchObject({ status: 'in_progress', paper: { key: one('open').key } });
    client.hear({ ...one('timing'), timing_rev: 99 });
    expect(remainingMs(client.state, 0)).toBe(one('timing').remaining_ms);
    client.hear(one('pulse', 'pulse.section'));
    expect(client.state.section?.id).toBe(one('pulse', 'pulse.section').section?.id);
    client.hear(one('submitted'));
    expect(client.state.outcome?.result).toEqual(one('submitted').result);
  });

  it('of an exchange are understood', () => {
    const [[, reply] = []] = golden<ExchangeReply>('exchange.reply');
    if (!reply) throw new Error('there is no golden exchange reply');
    const client = new Client().live().close(1006);
    client.do({ on: 'timer', timer: 'connect' }).close(1006);
    client.do({ on: 'timer', timer: 'connect' }).close(1006);
    client.do({ on: 'exchanged', reply: { ...reply, session: 's-1' } });
    expect(client.state).toMatchObject({ savedSeq: reply.saved_seq, exchange: { healthy: true } });
  });
});

describe.skipIf(!there)('messages of this client', () => {
  /** Returns a message of each kind that a candidate can make a client send. */
  function everything(): ClientMessage[] {
    const client = new Client();
    const messages: ClientMessage[] = [];
    const collect = () => {
      for (const effect of client.effects) {
        if (effect.do === 'send') messages.push(effect.message);
        if (effect.do === 'hello') {
          const { do: _, socket: __, ...rest } = effect;
          messages.push({ t: 'hello', token: 't', client: { name: 'n', version: 'v' }, ...rest });
        }
      }
    };
    const notices = [{ id: 'n1', level: 'urgent' as const, text: '', ack: true }];
    client.do({ on: 'start', stored: null }).do({ on: 'timer', timer: 'connect' });
    client.do({ on: 'opened', socket: client.state.socket });
    collect();
    client.hear(welcome({ notices })).do({ on: 'paper', document: PAPER }).record({});
    for (const input of [
      { on: 'show', q: 'q1' },
      { on: 'edit', q: 'q1', value: 'a', hold: false },
      { on: 'flag', q: 'q1', flagged: true },
      { on: 'timer', timer: 'heartbeat' },
      { on: 'observe', kind: 'copy', data: { chars: 1 } },
      { on: 'acknowledge', id: 'n1' },
      { on: 'submit' },
      { on: 'closed', socket: client.state.socket, code: 1006 },
      { on: 'timer', timer: 'connect' },
    ] as const) {
      client.do(input);
      collect();
    }
    client.do({ on: 'opened', socket: client.state.socket });
    collect();
    return messages;
  }

  /** The fields of the golden messages of a type, with the types of their values. */
  const known = new Map<string, Map<string, string>>();
  for (const [, message] of golden<ClientMessage>('candidate.client.')) {
    const fields = known.get(message.t) ?? new Map<string, string>();
    for (const [name, value] of Object.entries(message)) fields.set(name, typeof value);
    known.set(message.t, fields);
  }

  it('have only fields that golden ones have', () => {
    const messages = everything();
    expect([...new Set(messages.map(({ t }) => t))].sort()).toEqual([...known.keys()].sort());
    for (const message of messages) {
      for (const [name, value] of Object.entries(message)) {
        const type = known.get(message.t)?.get(name);
        expect(`${message.t}.${name}: ${type}`).not.toContain('undefined');
        if (name !== 'value')
          expect(`${message.t}.${name}: ${typeof value}`).toBe(`${message.t}.${name}: ${type}`);
      }
    }
  });
});
