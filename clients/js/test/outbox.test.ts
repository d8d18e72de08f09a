import { describe, expect, it } from 'vitest';
import { isFlagged, overallSaveState, saveState, unsavedQuestions, valueOf } from '../src/view';
import { FLUSH_HOLD_MAX_MS, FLUSH_IDLE_MS } from '../src/outbox';
import { brief, Client, welcome } from './client';

const stored = (value: string, rev = 1, flagged = false) => ({ value, rev, flagged });

describe('numbers', () => {
  it('rise without gaps over answers, flags and the hand-in', () => {
    const client = new Client().live();
    expect(brief(client.edit('q1', 'a').sent)).toEqual(['1 q1=a']);
    client.do({ on: 'flag', q: 'q2', flagged: true });
    expect(brief(client.sent)).toEqual(['2 q2 flag']);
    expect(brief(client.do({ on: 'submit' }).sent)).toEqual(['3 submit']);
  });

  it('are not used for what changes nothing', () => {
    const client = new Client().live({ q1: stored('a') });
    expect(client.edit('q1', 'a').sent).toEqual([]);
    expect(client.state.nextSeq).toBe(1);
  });

  it('wait while more is unsaved than the engine allows', () => {
    const client = new Client().do({ on: 'start', stored: null });
    client.greeted(welcome({ limits: { ...welcome().limits, unsaved: 2 } })).record({});
    expect(brief(client.edit('q1', 'a').sent)).toEqual(['1 q1=a']);
    expect(brief(client.edit('q2', 'b').sent)).toEqual(['2 q2=b']);
    expect(client.edit('q3', 'c').sent).toEqual([]);
    expect(brief(client.hear({ t: 'saved', seq: 1 }).sent)).toEqual(['3 q3=c']);
  });
});

describe('typing', () => {
  it('is sent after a pause', () => {
    const client = new Client().live().edit('q1', 'h', true);
    expect(client.sent).toEqual([]);
    expect(client.timer('flush')).toBe(FLUSH_IDLE_MS);
    client.wait(300).edit('q1', 'hi', true);
    expect(client.timer('flush')).toBe(FLUSH_IDLE_MS);
    expect(brief(client.do({ on: 'timer', timer: 'flush' }).sent)).toEqual(['1 q1=hi']);
  });

  it('is sent without a pause too, after a while', () => {
    const client = new Client().live().edit('q1', 'a', true);
    client.wait(FLUSH_HOLD_MAX_MS - 100).edit('q1', 'ab', true);
    expect(client.timer('flush')).toBe(100);
  });

  it('is sent when the person goes to another question, and before the hand-in', () => {
    const client = new Client().live().edit('q1', 'a', true);
    expect(brief(client.do({ on: 'show', q: 'q2' }).sent)).toEqual(['1 q1=a']);
    client.edit('q2', 'b', true);
    expect(brief(client.do({ on: 'submit' }).sent)).toEqual(['2 q2=b', '3 submit']);
  });

  it('tells how long the question was looked at', () => {
    const client = new Client().live().do({ on: 'show', q: 'q1' });
    client.wait(2_000).edit('q1', 'a');
    expect(client.sent).toMatchObject([{ spent_ms: 2_000 }]);
    client.wait(500).do({ on: 'show', q: 'q2' }).wait(9_000).do({ on: 'show', q: 'q1' });
    expect(client.wait(250).edit('q1', 'b').sent).toMatchObject([{ spent_ms: 750 }]);
  });

  it('of blanks only clears the answer', () => {
    const client = new Client().live({ q1: stored('a') });
    expect(client.edit('q1', '  ').sent).toMatchObject([{ value: null }]);
  });

  it('past the limit is refused here, and kept for the person', () => {
    const client = new Client().do({ on: 'start', stored: null });
    client.greeted(welcome({ limits: { ...welcome().limits, answer_bytes: 10 } })).record({});
    expect(client.edit('q1', 'more than ten').sent).toEqual([]);
    expect(client.state.rejected['q1']).toEqual({ code: 'too_large', value: 'more than ten' });
    expect(valueOf(client.state, 'q1')).toBe('more than ten');
    expect(brief(client.edit('q1', 'short').sent)).toEqual(['1 q1=short']);
    expect(client.state.rejected).toEqual({});
  });
});

describe('what the person sees of saving', () => {
  it('is saved, saving, then saved again', () => {
    const client = new Client().live();
    const state = () => saveState(client.state, 'q1', client.env.now);
    expect(state()).toBe('saved');
    client.edit('q1', 'a', true);
    expect(state()).toBe('saving');
    client.do({ on: 'flush' });
    expect(state()).toBe('saving');
    client.hear({ t: 'saved', seq: 1 });
    expect(state()).toBe('saved');
    expect(client.state.record?.['q1']).toEqual(stored('a'));
  });

  it('is unsaved without a connection', () => {
    const client = new Client().live().close(1006).edit('q1', 'a');
    expect(overallSaveState(client.state, client.env.now)).toBe('unsaved');
    expect(unsavedQuestions(client.state)).toEqual(['q1']);
  });

  it('is unsaved when the engine takes long', () => {
    const client = new Client().live().edit('q1', 'a').wait(5_001);
    expect(saveState(client.state, 'q1', client.env.now)).toBe('unsaved');
    expect(saveState(client.state, 'q2', client.env.now)).toBe('saved');
  });

  it('covers every command up to the number', () => {
    const client = new Client().live().edit('q1', 'a').edit('q1', 'b').edit('q2', 'c');
    client.hear({ t: 'saved', seq: 2 });
    expect(client.state.record).toEqual({ q1: stored('b', 2) });
    expect(unsavedQuestions(client.state)).toEqual(['q2']);
    client.hear({ t: 'pulse', n: 1, now_at: 0, remaining_ms: 1, saved_seq: 3 });
    expect(unsavedQuestions(client.state)).toEqual([]);
  });

  it('shows flags at once', () => {
    const client = new Client().live().do({ on: 'flag', q: 'q1', flagged: true });
    expect(isFlagged(client.state, 'q1')).toBe(true);
    client.hear({ t: 'saved', seq: 1 });
    expect(client.state.record?.['q1']).toEqual({ value: null, rev: 0, flagged: true });
  });
});

describe('a break within the session', () => {
  it('sends everything over saved_seq again, in order', () => {
    const client = new Client().live().edit('q1', 'a').edit('q2', 'b').edit('q3', 'c');
    client.close(1006).greeted(welcome({ resumed: true, saved_seq: 1, applied_seq: 2 }));
    expect(brief(client.sent)).toEqual(['2 q2=b', '3 q3=c']);
  });

  it('does not change what was sent under a number', () => {
    const client = new Client().live().edit('q1', 'a').close(1006);
    client.edit('q1', 'b').edit('q1', 'c');
    client.greeted(welcome({ resumed: true, applied_seq: 1 }));
    expect(brief(client.sent)).toEqual(['1 q1=a', '2 q1=c']);
  });

  it('says which session and which numbers come next', () => {
    const client = new Client().live().edit('q1', 'a').close(1006);
    client.do({ on: 'timer', timer: 'connect' });
    client.do({ on: 'opened', socket: client.state.socket });
    expect(client.all('hello')).toEqual([
      {
        do: 'hello',
        socket: client.state.socket,
        resume: { session: 's-1', next_seq: 2, next_event: 1 },
      },
    ]);
  });

  it('begins anew where the engine has numbers that this client did not give', () => {
    const client = new Client().live().edit('q1', 'a').close(1006);
    client.greeted(welcome({ resumed: true, applied_seq: 2 }));
    expect(client.state.link.kind).toBe('waiting');
    client.do({ on: 'timer', timer: 'connect' });
    client.do({ on: 'opened', socket: client.state.socket });
    expect(client.all('hello')[0]).not.toHaveProperty('resume');
  });

  it('after a gap comes a new socket, and everything again', () => {
    const client = new Client().live().edit('q1', 'a');
    client.hear({ t: 'refused', seq: 1, code: 'gap', detail: { expected: 1 } });
    expect(client.state.link.kind).toBe('waiting');
    client.greeted(welcome({ resumed: true }));
    expect(brief(client.sent)).toEqual(['1 q1=a']);
  });
});

describe('word that was lost with a connection', () => {
  const unsure = () => {
    const client = new Client()
      .live({ q1: stored('old', 3) })
      .edit('q1', 'mine')
      .close(1006);
    return client.greeted(welcome({ resumed: true, saved_seq: 1, applied_seq: 1 }));
  };

  it('is not taken for saved', () => {
    const client = unsure();
    expect(client.all('fetch_record')).toHaveLength(1);
    expect(saveState(client.state, 'q1', client.env.now)).toBe('saving');
    expect(valueOf(client.state, 'q1')).toBe('mine');
    // The next answer to the same question waits for that word, and so do those after it.
    expect(client.edit('q1', 'mine, longer').sent).toEqual([]);
    expect(client.edit('q2', 'other').sent).toEqual([]);
  });

  it('was "saved" where the stored answers have it', () => {
    const client = unsure().record({ q1: stored('mine', 4) }, 1);
    expect(saveState(client.state, 'q1', client.env.now)).toBe('saved');
  });

  it('was "refused" where they do not: the person sees both', () => {
    const client = unsure().record({ q1: stored('old', 3) }, 1);
    expect(client.state.rejected['q1']).toEqual({
      code: 'conflict',
      value: 'mine',
      theirs: { rev: 3, value: 'old' },
    });
  });

  it('about a hand-in gives the exam back', () => {
    const client = new Client().live().do({ on: 'submit' }).close(1006);
    client.greeted(welcome({ resumed: true, saved_seq: 1, applied_seq: 1 }));
    expect(client.state).toMatchObject({ submitting: false, alert: { about: 'submit' } });
  });
});

describe('a lost session', () => {
  const lost = () =>
    new Client()
      .live({ q1: stored('old', 3) })
      .edit('q1', 'mine')
      .close(1006);
  const back = (client: Client) => client.greeted(welcome({ session: 's-2' }));

  it('sends nothing before it knows what is stored', () => {
    expect(back(lost()).sent).toEqual([]);
  });

  it('issues again under new numbers, with the revision that was edited', () => {
    const client = back(lost().edit('q2', 'new')).record({ q1: stored('old', 3) });
    expect(brief(client.sent)).toEqual(['1 q1=mine base 3', '2 q2=new base 0']);
    expect(client.state.nextSeq).toBe(3);
  });

  it('keeps the base of an edit, so that the engine can object', () => {
    const client = back(lost()).record({ q1: stored('theirs', 5) });
    expect(brief(client.sent)).toEqual(['1 q1=mine base 3']);
  });

  it('knows its own answer where it had arrived', () => {
    const client = back(lost()).record({ q1: stored('mine', 4) });
    expect(client.sent).toEqual([]);
    expect(unsavedQuestions(client.state)).toEqual([]);
  });

  it('goes on from its own earlier answer without a conflict', () => {
    const client = back(lost().edit('q1', 'later')).record({ q1: stored('mine', 4) });
    expect(brief(client.sent)).toEqual(['1 q1=later base 4']);
  });

  it('issues flags again, and leaves the hand-in to the person', () => {
    const client = new Client().live().do({ on: 'flag', q: 'q1', flagged: true });
    client.do({ on: 'submit' }).close(1006);
    back(client).record({});
    expect(brief(client.sent)).toEqual(['1 q1 flag']);
    expect(client.state.submitting).toBe(false);
    expect(client.state.alert).toEqual({ about: 'session', code: 'lost_session' });
  });

  it('asks again where the stored answers are older than what was saved meanwhile', () => {
    const client = new Client().live().edit('q1', 'a').hear({ t: 'saved', seq: 1 });
    client.record({}, 0);
    expect(client.all('fetch_record')).toHaveLength(1);
    expect(client.state.record?.['q1']).toEqual(stored('a'));
  });

  it('waits for stored answers of its own session, from a node that knows of it', () => {
    const client = new Client().live().edit('q1', 'a').close(1006);
    back(client).record({ q1: stored('old') }, 0, 's-0');
    expect(client.state.synced).toBe(false);
    client.do({ on: 'timer', timer: 'load' });
    expect(client.all('fetch_record')).toHaveLength(1);
    client.record({ q1: stored('a') }, 0);
    expect(client.state.synced).toBe(true);
  });
});

describe('a conflict', () => {
  const conflict = () => {
    const client = new Client()
      .live({ q1: stored('old', 3) })
      .edit('q1', 'mine')
      .close(1006);
    client.greeted(welcome({ session: 's-2' })).record({ q1: stored('theirs', 5) });
    // An answer that is written before the verdict waits for it.
    expect(client.edit('q1', 'mine, longer').sent).toEqual([]);
    return client.hear({
      t: 'refused',
      seq: 1,
      q: 'q1',
      code: 'conflict',
      detail: { rev: 5, value: 'theirs' },
    });
  };

  it('shows both versions, the newest of the person among them', () => {
    const client = conflict();
    expect(client.state.rejected['q1']).toEqual({
      code: 'conflict',
      value: 'mine, longer',
      theirs: { rev: 5, value: 'theirs' },
    });
    expect(saveState(client.state, 'q1', client.env.now)).toBe('unsaved');
    expect(client.state.outbox).toEqual([]);
    expect(client.state.nextSeq).toBe(2);
  });

  it('is over when the person keeps their own', () => {
    const client = conflict().do({ on: 'resolve', q: 'q1', keep: 'mine' });
    expect(brief(client.sent)).toEqual(['2 q1=mine, longer base 5']);
    client.hear({ t: 'saved', seq: 2 });
    expect(client.state.record?.['q1']).toEqual(stored('mine, longer', 6));
  });

  it('is over when the person takes the other one', () => {
    const client = conflict().do({ on: 'resolve', q: 'q1', keep: 'theirs' });
    expect(client.sent).toEqual([]);
    expect(valueOf(client.state, 'q1')).toBe('theirs');
    expect(saveState(client.state, 'q1', client.env.now)).toBe('saved');
  });
});

describe('refusals', () => {
  it.each(['bad_value', 'locked', 'time_over', 'closed', 'unknown_question'] as const)(
    '%s keeps the text and says why',
    (code) => {
      const client = new Client().live({ q1: stored('old') }).edit('q1', 'new');
      client.hear({ t: 'refused', seq: 1, q: 'q1', code, detail: {} }).hear({ t: 'saved', seq: 1 });
      expect(client.state.rejected['q1']).toEqual({ code, value: 'new' });
      expect(client.state.record?.['q1']).toEqual(stored('old'));
      expect(unsavedQuestions(client.state)).toEqual(['q1']);
    },
  );

  it('of a pause is sent again when the pause is over', () => {
    const client = new Client().live().edit('q1', 'a');
    client.hear({ t: 'status', status: 'paused' });
    client.hear({ t: 'refused', seq: 1, q: 'q1', code: 'paused', detail: {} });
    client.hear({ t: 'saved', seq: 1 });
    client.hear({ t: 'status', status: 'in_progress' });
    expect(brief(client.sent)).toEqual(['2 q1=a']);
  });

  it('of an older answer do not hide a newer one', () => {
    const client = new Client().live().edit('q1', 'a').edit('q1', 'b');
    client.hear({ t: 'refused', seq: 1, q: 'q1', code: 'bad_value', detail: {} });
    expect(client.state.rejected).toEqual({});
    expect(valueOf(client.state, 'q1')).toBe('b');
  });

  it('of the hand-in give the exam back', () => {
    const client = new Client().live().do({ on: 'submit' });
    client.hear({ t: 'refused', seq: 1, code: 'paused', detail: {} });
    expect(client.state.submitting).toBe(false);
    expect(client.state.alert).toEqual({ about: 'submit', code: 'paused' });
  });

  it('that come late make the client ask what is stored', () => {
    const client = new Client().live().edit('q1', 'a').hear({ t: 'saved', seq: 1 });
    client.hear({ t: 'refused', seq: 1, q: 'q1', code: 'time_over', detail: {} });
    expect(client.all('fetch_record')).toHaveLength(1);
    expect(client.state.rejected['q1']).toEqual({ code: 'time_over', value: 'a' });
  });
});
