import { describe, expect, it } from 'vitest';
import type { Paper, SealedPaper } from '../src/paper';
import { arrange, isAnswered, sameValue } from '../src/paper';
import { unseal } from '../src/seal';
import { opensInMs, remainingMs, sectionRemainingMs } from '../src/timing';
import { isEditable, sectionState } from '../src/view';
import { Client, PAPER, welcome } from './client';

describe('time', () => {
  const left = (client: Client) => remainingMs(client.state, client.env.now);

  it('is counted down with the monotonic clock, and never below 0', () => {
    const client = new Client().live().wait(10_000);
    expect(left(client)).toBe(50_000);
    expect(left(client.wait(100_000))).toBe(0);
    expect(client.state.status).toBe('in_progress');
  });

  it('ignores a deadline that is older than one already seen', () => {
    const client = new Client().live();
    const timing = { t: 'timing', deadline_at: 0, reason: 'extended' } as const;
    client.hear({ ...timing, remaining_ms: 90_000, timing_rev: 3 });
    client.hear({ ...timing, remaining_ms: 10_000, timing_rev: 2 });
    expect(left(client)).toBe(90_000);
  });

  it('says once that there is more of it', () => {
    const client = new Client().live();
    const timing = { t: 'timing', deadline_at: 0, remaining_ms: 660_000, timing_rev: 3 } as const;
    client.hear({ ...timing, reason: 'extended' }).hear({ ...timing, reason: 'extended' });
    client.hear({ ...timing, remaining_ms: 60_000, timing_rev: 2, reason: 'extended' });
    client.hear({ ...timing, remaining_ms: 900_000, timing_rev: 4, reason: 'resumed' });
    expect(client.state.notices.map(({ text }) => text)).toEqual(['You have 10 more minutes.']);
  });

  it('stands still in a pause', () => {
    const client = new Client().live().wait(10_000).hear({ t: 'status', status: 'paused' });
    expect(left(client.wait(30_000))).toBe(50_000);
    client.hear({
      t: 'timing',
      deadline_at: 0,
      remaining_ms: 50_000,
      timing_rev: 2,
      reason: 'resumed',
    });
    client.wait(5).hear({ t: 'status', status: 'in_progress' });
    expect(left(client.wait(1_000))).toBe(49_000);
  });

  it('is corrected by every pulse', () => {
    const client = new Client().live().wait(10_000);
    client.hear({ t: 'pulse', n: 1, now_at: 0, remaining_ms: 49_000, saved_seq: 0 });
    expect(left(client)).toBe(49_000);
  });
});

describe('sections with a time limit', () => {
  const [first] = PAPER.sections;
  const paper: Paper = {
    version: 'sha256:p',
    sections: ['s1', 's2', 's3'].map((id) => ({
      id,
      title: id,
      ...(id === 's3' ? {} : { time_limit_ms: 60_000 }),
      questions: (first?.questions ?? []).map((question) => ({
        ...question,
        id: `${id}-${question.id}`,
      })),
    })),
  };
  const states = (client: Client) =>
    (client.state.paper.sections ?? []).map((section) => sectionState(client.state, section));

  it('are open one after the other, the others always', () => {
    const client = new Client().do({ on: 'start', stored: null });
    client.greeted(welcome({ section: { id: 's1', remaining_ms: 60_000 } }));
    client.do({ on: 'paper', document: paper }).record({});
    expect(states(client)).toEqual(['open', 'later', 'open']);
    expect(sectionRemainingMs(client.state, 1_000)).toBe(59_000);
    const [section] = client.state.paper.sections ?? [];
    const [question] = section?.questions ?? [];
    if (!section || !question) throw new Error('the paper has questions');
    expect(isEditable(client.state, section, question)).toBe(true);

    client.hear({ t: 'status', status: 'in_progress', section: 's2' });
    expect(client.all('send')[0]?.message).toMatchObject({ t: 'heartbeat' });
    client.hear({
      t: 'pulse',
      n: 1,
      now_at: 0,
      remaining_ms: 1,
      saved_seq: 0,
      section: { id: 's2', remaining_ms: 60_000 },
    });
    expect(states(client)).toEqual(['over', 'open', 'open']);
    expect(isEditable(client.state, section, question)).toBe(false);
  });
});

describe('the lobby', () => {
  const attempt = { ...welcome().attempt, status: 'started' as const, opens_at: 31_000 };
  const paper = { ...welcome().paper, sealed: true };
  const sealed: SealedPaper = { version: 'sha256:p', alg: 'A256GCM', nonce: 'n', data: 'd' };
  const waiting = () =>
    new Client().do({ on: 'start', stored: null }).greeted(welcome({ attempt, paper })).record({});
  const open = {
    t: 'open',
    key: 'k',
    deadline_at: 0,
    remaining_ms: 60_000,
    timing_rev: 2,
  } as const;

  it('counts down to the opening', () => {
    expect(opensInMs(waiting().state, 5_000)).toBe(25_000);
  });

  it('opens the sealed paper with the key', () => {
    const client = waiting().do({ on: 'paper', document: sealed }).hear(open);
    expect(client.all('unseal')).toEqual([{ do: 'unseal', document: sealed, key: 'k' }]);
    expect(client.all('fetch_paper')).toEqual([]);
    client.do({ on: 'unsealed', sections: PAPER.sections });
    expect(client.state.paper.sections).toHaveLength(1);
    expect(client.state.status).toBe('in_progress');
  });

  it('fetches the open paper where the browser cannot decrypt', () => {
    const client = waiting().do({ on: 'paper', document: sealed }).hear(open);
    expect(client.do({ on: 'unsealed', sections: null }).all('fetch_paper')).toHaveLength(1);
  });

  it('unseals a paper that comes after its key', () => {
    const client = waiting().hear(open).do({ on: 'paper', document: sealed });
    expect(client.all('unseal')).toHaveLength(1);
  });

  it('takes no answers', () => {
    expect(waiting().edit('q1', 'a').state.outbox).toEqual([]);
  });

  it('opens what the engine sealed', async () => {
    const key = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, true, [
      'encrypt',
    ]);
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const plain = new TextEncoder().encode(JSON.stringify(PAPER.sections));
    const data = await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, key, plain);
    const base64 = (bytes: ArrayBuffer | Uint8Array) =>
      btoa(String.fromCharCode(...new Uint8Array(bytes)));
    const raw = base64(await crypto.subtle.exportKey('raw', key));
    const document: SealedPaper = { ...sealed, nonce: base64(iv), data: base64(data) };
    expect(await unseal(document, raw)).toEqual(PAPER.sections);
    expect(await unseal(document, base64(new Uint8Array(32)))).toBeNull();
  });
});

describe('events', () => {
  const seen = (client: Client) =>
    client.all('send').flatMap(({ message }) => (message.t === 'event' ? [message.n] : []));

  it('are numbered by themselves and sent again until acknowledged', () => {
    const client = new Client().live().do({ on: 'observe', kind: 'focus_lost' });
    expect(client.all('send')[0]?.message).toEqual({
      t: 'event',
      n: 1,
      kind: 'focus_lost',
      at: 5_000,
    });
    client.do({ on: 'observe', kind: 'copy', data: { chars: 3 } }).hear({ t: 'event_ack', n: 1 });
    client
      .wait(700)
      .close(1006)
      .wait(300)
      .greeted(welcome({ resumed: true }));
    // The break itself is an event too, reported after the fact.
    expect(seen(client)).toEqual([2, 3]);
    expect(client.state.events.queue.at(-1)).toMatchObject({ kind: 'offline', data: { ms: 300 } });
  });

  it('begin at 1 in a new session', () => {
    const client = new Client().live().do({ on: 'observe', kind: 'copy' });
    client.hear({ t: 'event_ack', n: 1 }).do({ on: 'observe', kind: 'paste' }).close(1006);
    client.greeted(welcome({ session: 's-2' }));
    expect(seen(client)).toEqual([1, 2]);
  });

  it('are held back while the engine is not well, answers never', () => {
    const client = new Client().live().hear({ t: 'health', level: 3, heartbeat_ms: 60_000 });
    expect(seen(client.do({ on: 'observe', kind: 'copy' }))).toEqual([]);
    expect(client.edit('q1', 'a').sent).toHaveLength(1);
    expect(client.do({ on: 'timer', timer: 'heartbeat' }).timer('heartbeat')).toBe(60_000);
    expect(seen(client.hear({ t: 'health', level: 8, heartbeat_ms: 10_000 }))).toEqual([1]);
  });
});

describe('notices', () => {
  const notice = { id: 'n1', level: 'warning', text: 'Mind the time.', ack: true } as const;

  it('are shown once and acknowledged when read', () => {
    const client = new Client().live().hear({ t: 'notice', ...notice });
    client.hear({ t: 'notice', ...notice });
    expect(client.state.notices).toHaveLength(1);
    client.do({ on: 'acknowledge', id: 'n1' });
    expect(client.all('send')[0]?.message).toEqual({ t: 'notice_ack', id: 'n1' });
  });

  it('that were read without a connection are acknowledged with the next', () => {
    const client = new Client()
      .live()
      .hear({ t: 'notice', ...notice })
      .close(1006);
    expect(client.do({ on: 'acknowledge', id: 'n1' }).all('send')).toEqual([]);
    client.greeted(welcome({ resumed: true, notices: [notice] }));
    expect(client.all('send').map(({ message }) => message.t)).toContain('notice_ack');
  });
});

describe('the end', () => {
  it('keeps the receipt and leaves nothing in the browser', () => {
    const client = new Client()
      .live()
      .do({ on: 'submit' })
      .hear({
        t: 'submitted',
        at: 9,
        status: 'graded',
        handed_in: 'candidate',
        receipt: { hash: 'x' },
      });
    expect(client.state.outcome).toMatchObject({ status: 'graded', receipt: { hash: 'x' } });
    expect(client.all('forget')).toHaveLength(1);
    expect(client.close(1000).state.link).toMatchObject({ kind: 'ended', code: 1000 });
    expect(client.all('fetch_outcome')).toEqual([]);
  });

  it('by staff comes without asking', () => {
    const client = new Client().live().hear({ t: 'status', status: 'cancelled', reason: 'noise' });
    expect(client.state).toMatchObject({ status: 'cancelled', reason: 'noise' });
  });
});

describe('papers', () => {
  it('stand in the order of the candidate', () => {
    const order = [{ section: 's1', questions: [{ q: 'q3' }, { q: 'q1' }, { q: 'q2' }] }];
    const [section] = arrange(PAPER.sections, order);
    expect(section?.questions.map(({ id }) => id)).toEqual(['q3', 'q1', 'q2']);
  });

  it('have their options in it, and lose none', () => {
    const options = ['a', 'b', 'c'].map((id) => ({ id, text: id }));
    const question = { id: 'q', type: 'single_choice' as const, content: '', points: 1, options };
    const [section] = arrange(
      [{ id: 's', title: '', questions: [question] }],
      [{ section: 's', questions: [{ q: 'q', options: ['c', 'a'] }] }],
    );
    expect(section?.questions[0]?.options?.map(({ id }) => id)).toEqual(['c', 'a', 'b']);
  });
});

describe('values', () => {
  it.each([null, '', ' ', [], ['', ''], {}, { language: 'c', source: '' }])(
    '%j answers nothing',
    (value) => {
      expect(isAnswered(value)).toBe(false);
    },
  );

  it.each([false, 'a', ['', 'x'], [[0.1, 0.2]] as [number, number][], { a: 'b' }])(
    '%j answers',
    (value) => {
      expect(isAnswered(value)).toBe(true);
    },
  );

  it('are the same whatever the order of a map', () => {
    expect(sameValue({ a: '1', b: '2' }, { b: '2', a: '1' })).toBe(true);
    expect(sameValue(['a', 'b'], ['b', 'a'])).toBe(false);
  });
});
