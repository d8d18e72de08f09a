/** The paper and the stored answers, which come over HTTP, and the attempt's status. */

import { CloseCode, isOver, type AttemptStatus } from './codes';
import { end, isFinished } from './ending';
import type { Welcome } from './messages';
import { reissue, retryPaused, takeRecord } from './outbox';
import { arrange, type Paper, type SealedPaper, type Section, type StoredAnswers } from './paper';
import type { Turn } from './state';

/** First and longest delay before something is fetched again. */
const LOAD_RETRY_FIRST_MS = 500;
const LOAD_RETRY_MAX_MS = 10_000;

/** Notes the paper that `welcome` names, and wants it unless it is here. */
export function loadPaper(t: Turn, paper: Welcome['paper']): void {
  const known = t.s.paper;
  const here =
    known.version === paper.version && (known.sections ?? (known.sealed && paper.sealed));
  t.s.paper = {
    ...(known.version === paper.version ? known : { ...known, sealed: null, sections: null }),
    version: paper.version,
    url: paper.url,
    order: paper.order ?? known.order,
  };
  if (!here) t.wants.paper = true;
}

/** Fetches the documents that the turn wants. */
export function fetchWanted({ s, wants, effects }: Turn): void {
  if (wants.paper) effects.push({ do: 'fetch_paper', url: s.paper.url });
  if (wants.record && s.session) {
    effects.push({ do: 'fetch_record', url: s.recordUrl, session: s.session });
  }
  if (wants.outcome && !s.outcome) effects.push({ do: 'fetch_outcome' });
}

/** Takes the paper, readable or sealed. */
export function gotPaper(t: Turn, document: Paper | SealedPaper): void {
  const { s } = t;
  s.loadFailures = 0;
  const order = s.paper.order ?? document.order;
  if ('sections' in document) {
    const sections = arrange(document.sections, order);
    s.paper = { ...s.paper, version: document.version, order, sealed: null, sections };
    return;
  }
  s.paper = { ...s.paper, order, sealed: document };
  if (s.paper.key) t.effects.push({ do: 'unseal', document, key: s.paper.key });
  else if (s.status !== 'started') retryLoad(t);
}

/** Opens the exam, and the sealed paper with its key. */
export function opened(t: Turn, key: string): void {
  const { s } = t;
  s.opens = null;
  s.paper = { ...s.paper, key };
  setStatus(t, 'in_progress');
  if (s.paper.sealed) t.effects.push({ do: 'unseal', document: s.paper.sealed, key });
}

/** Takes the sections of a sealed paper. Where this browser could not open it, the paper is
 * fetched, as it can be from the opening on. */
export function unsealed(t: Turn, sections: Section[] | null): void {
  const { s } = t;
  if (!sections) {
    s.paper = { ...s.paper, sealed: null, key: null };
    t.wants.paper = true;
    return;
  }
  s.paper = { ...s.paper, sealed: null, sections: arrange(sections, s.paper.order) };
}

/** Takes the stored answers. */
export function gotRecord(t: Turn, session: string | null, stored: StoredAnswers): void {
  const { s } = t;
  // Another session began meanwhile, and fetches for itself.
  if (session !== s.session) return;
  // The node that answered does not know the attempt's session yet.
  if (stored.session !== undefined && stored.session !== session) return retryLoad(t);
  s.loadFailures = 0;
  // More was saved meanwhile: they are fetched once more.
  if (stored.saved_seq < s.savedSeq) {
    t.wants.record = true;
    return;
  }
  takeRecord(t, stored.answers, s.synced ? stored.saved_seq : 0);
  if (!s.synced) reissue(t);
  s.synced = true;
  t.wants.send = true;
}

/** Handles a fetch that failed. */
export function loadFailed(t: Turn, status: number): void {
  if (status === 401) return end(t, CloseCode.UNAUTHORIZED);
  if (status === 403) return end(t, CloseCode.FORBIDDEN);
  retryLoad(t);
}

function retryLoad(t: Turn): void {
  const ceiling = Math.min(LOAD_RETRY_MAX_MS, LOAD_RETRY_FIRST_MS * 2 ** t.s.loadFailures);
  t.s.loadFailures += 1;
  const ms = Math.round(ceiling * (0.5 + t.env.random / 2));
  t.effects.push({ do: 'timer', timer: 'load', ms });
}

/** Wants the documents that are missing. */
export function loadMissing(t: Turn): void {
  const { s } = t;
  if (isFinished(s)) {
    t.wants.outcome = true;
    return;
  }
  const { sections, sealed } = s.paper;
  if (!sections && !(sealed && s.status === 'started')) t.wants.paper = true;
  const unclear = Object.keys(s.doubts).length > 0;
  if (s.session && (!s.record || !s.synced || unclear)) t.wants.record = true;
}

/** Takes the attempt's status, and everything that follows from a change of it. */
export function setStatus(t: Turn, status: AttemptStatus, reason?: string): void {
  const { s } = t;
  const before = s.status;
  s.status = status;
  s.reason = reason ?? (before === status ? s.reason : null);
  if (before === status) return;
  if (before === 'in_progress' && status === 'paused' && s.clock) {
    s.clock = { ...s.clock, ...frozen(s.clock, t.env.now) };
  }
  if (before === 'paused' && status === 'in_progress') {
    // The clocks run from here on; `timing` came before, with the time that is left.
    if (s.clock) s.clock = { ...s.clock, at: t.env.now };
    if (s.section) s.section = { ...s.section, at: t.env.now };
    retryPaused(t);
  }
  if (status === 'in_progress') {
    s.opens = null;
    if (before === 'started' && !s.paper.key) loadMissing(t);
  }
  if (isOver(status)) t.effects.push({ do: 'forget' });
}

function frozen(clock: { remaining_ms: number; at: number }, now: number) {
  return { remaining_ms: Math.max(0, clock.remaining_ms - (now - clock.at)), at: now };
}
