import { describe, expect, it } from 'vitest';
import { CloseCode } from '../src/codes';
import { BACKOFF_MAX_MS, jitter } from '../src/backoff';
import type { ExchangeReply } from '../src/messages';
import { brief, Client, PAPER, welcome } from './client';

function reply(changes: Partial<ExchangeReply> = {}): ExchangeReply {
  return {
    session: 's-1',
    resumed: true,
    saved_seq: 0,
    applied_seq: 0,
    refused: [],
    status: 'in_progress',
    deadline_at: 61_000,
    remaining_ms: 50_000,
    timing_rev: 1,
    notices: [],
    ...changes,
  };
}

const exchanged = (client: Client, changes: Partial<ExchangeReply> = {}) =>
  client.do({ on: 'exchanged', reply: reply(changes) });

describe('back-off', () => {
  it.each([
    [1, 500],
    [2, 1_000],
    [5, 8_000],
    [7, BACKOFF_MAX_MS],
    [50, BACKOFF_MAX_MS],
  ])('of failure %i stays under %i ms, with full jitter', (failures, ceiling) => {
    expect([0, 0.5, 1].map((random) => jitter(failures, random))).toEqual([
      0,
      ceiling / 2,
      ceiling,
    ]);
  });

  it('begins anew after a link that stood', () => {
    const client = new Client().live();
    for (let i = 0; i < 4; i += 1) client.close(1006).greeted(welcome({ resumed: true }));
    expect(client.close(1006).timer('connect')).toBe(4_000);
    client.greeted(welcome({ resumed: true })).wait(10_000);
    expect(client.close(1006).timer('connect')).toBe(250);
  });

  it('gives way to the time that bye names', () => {
    const client = new Client().live().hear({ t: 'bye', code: 'draining', retry_ms: 1234 });
    expect(client.close(CloseCode.DRAINING).timer('connect')).toBe(1234);
  });
});

describe('closing', () => {
  it.each([1001, 1006, 1009, 1011, 4408, 4429, 4430, 4431, 4432])('with %i reconnects', (code) => {
    const client = new Client().live().close(code);
    expect(client.state.link.kind).toBe('waiting');
    expect(client.timer('connect')).toBeDefined();
  });

  it.each([4500, 4501, 4503, 4509, 4510, 4999])('with %i never reconnects', (code) => {
    const client = new Client().live().close(code);
    expect(client.state.link).toMatchObject({ kind: 'ended', code });
    expect(client.timer('connect')).toBeUndefined();
    expect(client.do({ on: 'network', online: true }).all('open')).toEqual([]);
    expect(client.do({ on: 'timer', timer: 'connect' }).all('open')).toEqual([]);
    expect(client.edit('q1', 'a').state.outbox).toEqual([]);
  });

  it('after the end fetches how it ended', () => {
    expect(new Client().live().close(CloseCode.CLOSED).all('fetch_outcome')).toHaveLength(1);
    expect(new Client().live().close(CloseCode.SUPERSEDED).all('fetch_outcome')).toEqual([]);
  });

  it('tells why, where bye did', () => {
    const client = new Client()
      .live()
      .hear({ t: 'bye', code: 'forbidden', detail: 'another_device' });
    expect(client.close(4503).state.link).toEqual({
      kind: 'ended',
      code: 4503,
      detail: 'another_device',
    });
  });

  it('with bad_message on a resumption begins a new session', () => {
    const client = new Client().live().close(1006).do({ on: 'timer', timer: 'connect' });
    client.do({ on: 'opened', socket: client.state.socket }).close(CloseCode.BAD_MESSAGE);
    expect(client.state.session).toBeNull();
    expect(client.all('open')).toHaveLength(1);
  });

  it('of an old socket means nothing', () => {
    const client = new Client().live();
    const old = client.state.socket;
    client.close(1006).greeted(welcome({ resumed: true }));
    client.do({ on: 'closed', socket: old, code: 4509 });
    expect(client.state.link.kind).toBe('live');
  });
});

describe('silence', () => {
  it('after a heartbeat gives the socket up', () => {
    const client = new Client().live().do({ on: 'timer', timer: 'heartbeat' });
    expect(client.timer('silence')).toBeDefined();
    client.do({ on: 'timer', timer: 'silence' });
    expect(client.state.link.kind).toBe('waiting');
    expect(client.all('close')).toHaveLength(1);
  });

  it('is over with the next message', () => {
    const client = new Client().live().do({ on: 'timer', timer: 'heartbeat' }).wait(40);
    client.hear({ t: 'pulse', n: 1, now_at: 0, remaining_ms: 59_000, saved_seq: 0 });
    expect(client.all('cancel')).toContainEqual({ do: 'cancel', timer: 'silence' });
    client.do({ on: 'timer', timer: 'heartbeat' });
    expect(client.all('send')[0]?.message).toMatchObject({ t: 'heartbeat', n: 2, rtt_ms: 40 });
  });

  it('before the welcome counts as a failure', () => {
    const client = new Client().do({ on: 'start', stored: null });
    client.do({ on: 'timer', timer: 'welcome' });
    expect(client.state.failures).toBe(1);
  });
});

describe('without sockets', () => {
  const fallen = () => {
    const client = new Client().live().edit('q1', 'a').close(1006);
    for (let i = 0; i < 2; i += 1) client.do({ on: 'timer', timer: 'connect' }).close(1006);
    return client;
  };

  it('saving goes on through exchange, under the same numbers', () => {
    const client = fallen();
    const [{ request } = { request: null }] = client.all('exchange');
    expect(request).toMatchObject({ session: 's-1', next_seq: 2 });
    expect(brief(request?.commands ?? [])).toEqual(['1 q1=a']);
    exchanged(client, { saved_seq: 1, applied_seq: 1 });
    expect(client.state.outbox).toEqual([]);
    expect(client.timer('exchange')).toBe(10_000);
    client.edit('q2', 'b');
    expect(brief(client.all('exchange')[0]?.request.commands ?? [])).toEqual(['2 q2=b']);
  });

  it('one failure is not enough', () => {
    const client = new Client().live().close(1006).do({ on: 'timer', timer: 'connect' });
    expect(client.close(1006).all('exchange')).toEqual([]);
  });

  it('the socket is tried on, and taken when it is there', () => {
    const client = fallen();
    exchanged(client, { saved_seq: 1, applied_seq: 1 });
    client.greeted(welcome({ resumed: true, saved_seq: 1, applied_seq: 1 }));
    expect(client.state.exchange.on).toBe(false);
    expect(brief(client.edit('q2', 'b').sent)).toEqual(['2 q2=b']);
  });

  it('a socket that comes back waits for the exchange under way', () => {
    const client = fallen().greeted(welcome({ resumed: true }));
    expect(client.sent).toEqual([]);
    exchanged(client, { saved_seq: 1, applied_seq: 1 });
    expect(brief(client.edit('q2', 'b').sent)).toEqual(['2 q2=b']);
  });

  it('an exchange that fails is sent again, with the same content', () => {
    const client = fallen().do({ on: 'exchange_failed', status: 0 }).edit('q1', 'b');
    expect(client.all('exchange')).toHaveLength(1);
    expect(brief(client.all('exchange')[0]?.request.commands ?? [])).toEqual(['1 q1=a', '2 q1=b']);
  });

  it.each([
    [409, undefined, CloseCode.SUPERSEDED],
    [401, undefined, CloseCode.UNAUTHORIZED],
    [403, 'closed', CloseCode.CLOSED],
    [403, 'forbidden', CloseCode.FORBIDDEN],
  ])('the answer %i %s is the end with %i', (status, code, end) => {
    const client = fallen().do({ on: 'exchange_failed', status, ...(code ? { code } : {}) });
    expect(client.state.link).toMatchObject({ kind: 'ended', code: end });
  });

  it('an attempt can be taken from its beginning', () => {
    const client = new Client().do({ on: 'start', stored: null }).close(1006);
    client.do({ on: 'timer', timer: 'connect' }).close(1006);
    expect(client.all('exchange')[0]?.request).toEqual({ commands: [], signals: [] });
    exchanged(client, { resumed: false });
    expect(client.all('fetch_paper')).toEqual([
      { do: 'fetch_paper', url: '/api/v1/attempts/7/paper' },
    ]);
    expect(client.all('fetch_record')).toHaveLength(1);
    client.do({ on: 'paper', document: PAPER }).record({}).edit('q1', 'a');
    expect(brief(client.all('exchange')[0]?.request.commands ?? [])).toEqual(['1 q1=a']);
  });

  it('two ways never begin a session at the same time', () => {
    const client = new Client().do({ on: 'start', stored: null }).close(1006);
    client.do({ on: 'timer', timer: 'connect' }).close(1006);
    expect(client.do({ on: 'timer', timer: 'connect' }).all('open')).toEqual([]);
    expect(client.timer('connect')).toBe(500);
  });
});

describe('a long answer', () => {
  const long = 'x'.repeat(13_000);

  it('goes through exchange alone, after what is before it and before what is after', () => {
    const client = new Client().live().edit('q1', 'a');
    expect(client.edit('q2', long).all('exchange')).toEqual([]);
    client.edit('q3', 'c');
    expect(client.sent).toEqual([]);
    client.hear({ t: 'saved', seq: 1 });
    expect(brief(client.all('exchange')[0]?.request.commands ?? [])).toEqual([
      `2 q2=${long.slice(0, 20)}`,
    ]);
    exchanged(client, { saved_seq: 2, applied_seq: 2 });
    expect(brief(client.sent)).toEqual(['3 q3=c']);
  });
});

describe('storage', () => {
  it('of a tab that died gives its answers and its session to the next', async () => {
    const { toStored } = await import('../src/storage');
    const dead = new Client().live().edit('q1', 'sent').edit('q2', 'typing', true);
    const stored = JSON.parse(JSON.stringify(toStored(dead.state))) as ReturnType<typeof toStored>;

    const client = new Client().do({ on: 'start', stored });
    client.greeted(welcome({ resumed: true }));
    expect(brief(client.sent)).toEqual(['1 q1=sent', '2 q2=typing']);

    const other = new Client().do({ on: 'start', stored });
    other.greeted(welcome({ session: 's-2' })).record({});
    expect(brief(other.sent)).toEqual(['1 q1=sent base 0', '2 q2=typing base 0']);
  });

  it('that holds something else is ignored', async () => {
    const { recall } = await import('../src/storage');
    for (const content of ['', 'null', '[]', '{"outbox":1}', '{']) {
      const shelf = {
        getItem: () => content,
        setItem: () => undefined,
        removeItem: () => undefined,
      };
      expect(recall(shelf, '7')).toBeNull();
    }
  });
});
