/**
 * The state of a candidate's client, its inputs and its effects.
 *
 * Only {@link reduce} of `reduce.ts` makes one state of another. It is pure: clocks, chance
 * and the page's facts come in with {@link Env}, and {@link Effect}s go out, which `shell.ts`
 * performs. All times called `now`, `at` or `since` are of the monotonic clock, in
 * milliseconds.
 */

import type { AttemptStatus, EventKind, RefusalCode } from './codes';
import type {
  Command,
  ExchangeReply,
  ExchangeRequest,
  Limits,
  Notice,
  Result,
  ServerMessage,
  Signal,
} from './messages';
import type {
  Paper,
  SealedPaper,
  Section,
  SectionOrder,
  StoredAnswer,
  StoredAnswers,
  Value,
} from './paper';

/** The connection of client and engine. */
export type Link =
  /** Not started. */
  | { kind: 'idle' }
  /** A socket opens, or waits for its `welcome`. */
  | { kind: 'connecting'; resuming: boolean }
  /** Welcomed at `since`. */
  | { kind: 'live'; since: number }
  /** Between two sockets. */
  | { kind: 'waiting' }
  /** Over for good; only the person can go on from here. */
  | { kind: 'ended'; code: number; detail?: string };

/** A command on its way to the record. */
export interface Entry {
  command: Command;
  /** For answers: the revision that the person had before them. */
  base: number;
  /** The engine compares `base`: after a lost session, or a conflict. */
  check: boolean;
  /** Sent at least once in this session: its number stands for this very content, which must
   * not change any more. */
  tried: boolean;
  /** Its carrier broke: the engine's word on it may be lost. */
  doubtful: boolean;
  /** Its carrier at the moment. */
  inFlight: 'socket' | 'exchange' | null;
  since: number;
}

/** Typed text that the outbox does not hold yet. */
export interface Draft {
  value: Value;
  base: number;
  since: number;
}

/** An answer that the engine settled, by a word that got lost with a connection: the stored
 * answers will tell whether it was saved or refused. */
export interface Doubt {
  value: Value;
  since: number;
}

/** An answer that the engine refused; its text is kept for the person. */
export interface Rejection {
  code: RefusalCode;
  value: Value;
  /** With `conflict`: the stored version. */
  theirs?: { rev: number; value: Value };
}

/** A refusal that belongs to no answer. */
export interface Alert {
  about: 'flag' | 'submit' | 'session';
  code: RefusalCode | 'lost_session' | 'unknown';
}

/** The attempt's end. */
export interface Outcome {
  status: AttemptStatus;
  at?: number;
  handed_in?: 'candidate' | 'time' | 'staff';
  receipt?: unknown;
  result?: Result;
}

export interface State {
  attemptId: string;
  exam: { code: string; title: string; instructions: string } | null;
  status: AttemptStatus | null;
  /** Reason of a pause or a cancellation, where staff gave it. */
  reason: string | null;

  link: Link;
  /** Number of the current socket; messages of earlier ones are ignored. */
  socket: number;
  /** Sockets in a row that came to no `welcome`. */
  failures: number;
  /** Delays in a row, for the back-off. */
  delays: number;
  /** From the last `bye`. */
  bye: { retry_ms?: number; detail?: string };
  /** Instant at which the link broke; null while it stands or before it first stood. */
  brokenAt: number | null;
  /** The way without a socket. */
  exchange: { on: boolean; busy: boolean; healthy: boolean; delays: number };

  session: string | null;
  nextSeq: number;
  savedSeq: number;
  outbox: Entry[];
  drafts: Record<string, Draft>;
  doubts: Record<string, Doubt>;
  /** The stored answers as far as they are known; null before they came. */
  record: Record<string, StoredAnswer> | null;
  recordUrl: string;
  /** In a new session nothing is sent before the stored answers are here. */
  synced: boolean;
  rejected: Record<string, Rejection>;
  alert: Alert | null;
  submitting: boolean;
  outcome: Outcome | null;

  paper: {
    version: string | null;
    url: string;
    order: SectionOrder[] | undefined;
    sealed: SealedPaper | null;
    key: string | null;
    /** In the candidate's order. */
    sections: Section[] | null;
  };
  loadFailures: number;

  /** Time after the deadline in which answers count, marked late. */
  grace_ms: number;
  clock: { remaining_ms: number; at: number; rev: number } | null;
  opens: { in_ms: number; at: number } | null;
  section: { id: string; remaining_ms: number; at: number } | null;

  limits: Limits;
  health: { level: number; heartbeat_ms: number };
  heartbeat: { n: number; at: number | null; rtt_ms: number | null };
  events: { next: number; sent: number; queue: Extract<Signal, { t: 'event' }>[] };
  notices: (Notice & { acknowledged: boolean })[];

  /** The question on screen. */
  shown: { q: string; at: number } | null;
  /** Time on each question since its last answer. */
  spent: Record<string, number>;
}

/** The part of a state that outlives the page, in the browser's storage. */
export interface Stored {
  session: string | null;
  synced: boolean;
  nextSeq: number;
  savedSeq: number;
  nextEvent: number;
  outbox: Pick<Entry, 'command' | 'base' | 'check' | 'tried'>[];
  drafts: Record<string, Pick<Draft, 'value' | 'base'>>;
  doubts: Record<string, Pick<Doubt, 'value'>>;
  events: Extract<Signal, { t: 'event' }>[];
}

/** The world at the moment of an input. */
export interface Env {
  /** Monotonic clock. */
  now: number;
  /** Wall clock; only for `event.at`. */
  wall: number;
  /** Chance, 0 to 1. */
  random: number;
  visible: boolean;
  focused: boolean;
  fullscreen: boolean;
}

export type Timer = 'connect' | 'welcome' | 'heartbeat' | 'silence' | 'flush' | 'exchange' | 'load';

export type Input =
  | { on: 'start'; stored: Stored | null }
  | { on: 'opened'; socket: number }
  | { on: 'message'; socket: number; message: ServerMessage }
  | { on: 'closed'; socket: number; code: number }
  | { on: 'timer'; timer: Timer }
  /** The browser thinks that the network came or went. */
  | { on: 'network'; online: boolean }
  /** Another tab of this browser goes on with the attempt. */
  | { on: 'taken' }
  | { on: 'exchanged'; reply: ExchangeReply }
  | { on: 'exchange_failed'; status: number; code?: string }
  | { on: 'paper'; document: Paper | SealedPaper }
  | { on: 'unsealed'; sections: Section[] | null }
  | { on: 'record'; session: string | null; stored: StoredAnswers }
  | { on: 'load_failed'; status: number }
  | { on: 'outcome'; outcome: Outcome }
  /** `hold`: more of it may follow at once, as with typing. */
  | { on: 'edit'; q: string; value: Value; hold: boolean }
  | { on: 'flush' }
  | { on: 'flag'; q: string; flagged: boolean }
  | { on: 'submit' }
  | { on: 'show'; q: string | null }
  | { on: 'resolve'; q: string; keep: 'mine' | 'theirs' }
  | { on: 'acknowledge'; id: string }
  | { on: 'dismiss' }
  | { on: 'observe'; kind: EventKind; data?: Record<string, unknown> };

export type Effect =
  | { do: 'open'; socket: number }
  | {
      do: 'hello';
      socket: number;
      resume?: { session: string; next_seq: number; next_event: number };
    }
  | { do: 'send'; socket: number; message: Command | Signal }
  | { do: 'close'; socket: number }
  | { do: 'timer'; timer: Timer; ms: number }
  | { do: 'cancel'; timer: Timer }
  | { do: 'exchange'; request: ExchangeRequest }
  | { do: 'fetch_paper'; url: string }
  | { do: 'fetch_record'; url: string; session: string | null }
  | { do: 'unseal'; document: SealedPaper; key: string }
  | { do: 'fetch_outcome' }
  | { do: 'forget' };

/** Wishes of the parts of the core for the end of a turn. The reducer fulfils each once, however
 * many parts have it. */
export interface TurnWants {
  /** Fetch the paper. */
  paper: boolean;
  /** Fetch the stored answers. */
  record: boolean;
  /** Fetch the attempt's outcome. */
  outcome: boolean;
  /** Send the commands of the outbox that may be sent. */
  send: boolean;
  /** Make an exchange, even with an empty outbox. */
  exchange: boolean;
}

/** A step of the reducer. `s` is a copy that this step may assign to; everything below it is
 * shared with the state before, and is replaced, never changed. */
export interface Turn {
  readonly s: State;
  readonly effects: Effect[];
  readonly wants: TurnWants;
  readonly env: Env;
}

/** Begins a turn on a state. */
export function beginTurn(state: State, env: Env): Turn {
  const wants = { paper: false, record: false, outcome: false, send: false, exchange: false };
  return { s: { ...state }, effects: [], wants, env };
}

/** Limits until the engine names its own. */
const LIMITS_DEFAULT: Limits = {
  heartbeat_ms: 10_000,
  frame_bytes: 16_384,
  answer_bytes: 1_048_576,
  commands_per_s: 20,
  burst: 40,
  unsaved: 256,
};

/** Returns the state before the first input. */
export function initialState(attemptId: string): State {
  const base = `/api/v1/attempts/${encodeURIComponent(attemptId)}`;
  return {
    attemptId,
    exam: null,
    status: null,
    reason: null,
    link: { kind: 'idle' },
    socket: 0,
    failures: 0,
    delays: 0,
    bye: {},
    brokenAt: null,
    exchange: { on: false, busy: false, healthy: false, delays: 0 },
    session: null,
    nextSeq: 1,
    savedSeq: 0,
    outbox: [],
    drafts: {},
    doubts: {},
    record: null,
    recordUrl: `${base}/answers`,
    synced: false,
    rejected: {},
    alert: null,
    submitting: false,
    outcome: null,
    paper: {
      version: null,
      url: `${base}/paper`,
      order: undefined,
      sealed: null,
      key: null,
      sections: null,
    },
    loadFailures: 0,
    grace_ms: 0,
    clock: null,
    opens: null,
    section: null,
    limits: LIMITS_DEFAULT,
    health: { level: 10, heartbeat_ms: LIMITS_DEFAULT.heartbeat_ms },
    heartbeat: { n: 0, at: null, rtt_ms: null },
    events: { next: 1, sent: 0, queue: [] },
    notices: [],
    shown: null,
    spent: {},
  };
}
