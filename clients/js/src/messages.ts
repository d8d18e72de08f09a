/** The candidate's messages of the live protocol, version 1, both ways. */

import type { AttemptStatus, RefusalCode } from './codes';
import type { SectionOrder, Value } from './paper';

/** Changes the record; numbered by `seq` within the session, without gaps. */
export type Command =
  | { t: 'answer'; seq: number; q: string; value: Value; base_rev?: number; spent_ms?: number }
  | { t: 'flag'; seq: number; q: string; on: boolean }
  | { t: 'submit'; seq: number };

/** Leaves the record as it is. */
export type Signal =
  | {
      t: 'heartbeat';
      n: number;
      q?: string;
      visible?: boolean;
      focused?: boolean;
      fullscreen?: boolean;
      rtt_ms?: number;
    }
  | { t: 'event'; n: number; kind: string; at: number; data?: Record<string, unknown> }
  | { t: 'notice_ack'; id: string };

/** Opens a socket. */
export interface Hello {
  t: 'hello';
  token: string;
  resume?: { session: string; next_seq: number; next_event: number };
  client: { name: string; version: string; device?: string };
}

export type ClientMessage = Hello | Command | Signal;

export interface Notice {
  id: string;
  level: 'info' | 'warning' | 'urgent';
  text: string;
  from?: string;
  ack: boolean;
}

export interface SectionClock {
  id: string;
  remaining_ms: number;
}

export interface Limits {
  heartbeat_ms: number;
  frame_bytes: number;
  answer_bytes: number;
  commands_per_s: number;
  burst: number;
  unsaved: number;
}

export interface Welcome {
  t: 'welcome';
  session: string;
  resumed: boolean;
  now_at: number;
  attempt: {
    id: string;
    status: AttemptStatus;
    exam: { code: string; title: string; instructions: string };
    started_at: number;
    deadline_at: number;
    remaining_ms: number;
    timing_rev: number;
    grace_ms: number;
    opens_at?: number;
  };
  health: number;
  saved_seq: number;
  applied_seq: number;
  paper: { version: string; url: string; sealed: boolean; order?: SectionOrder[] };
  record: { version: number; url: string };
  notices: Notice[];
  limits: Limits;
  section?: SectionClock;
}

export interface Refused {
  seq: number;
  code: RefusalCode;
  detail: { expected?: number; rev?: number; value?: Value };
  q?: string;
}

/** A question of a result. */
export interface QuestionResult {
  q: string;
  points: number;
  /** Null while a person has to mark it. */
  score: number | null;
  value: Value;
  /** The key, where the exam shows it; its form is that of the exam file. */
  answer?: unknown;
}

export interface Result {
  attempt: string;
  status: AttemptStatus;
  score: number;
  max_score: number;
  percentage: number;
  passed: boolean | null;
  grade: string | null;
  late: boolean;
  penalty: number;
  needs_marking: boolean;
  questions: QuestionResult[];
}

export interface Submitted {
  t: 'submitted';
  at: number;
  status: AttemptStatus;
  handed_in: 'candidate' | 'time' | 'staff';
  receipt: unknown;
  result?: Result;
}

export type ServerMessage =
  | Welcome
  | { t: 'saved'; seq: number }
  | ({ t: 'refused' } & Refused)
  | {
      t: 'pulse';
      n: number;
      now_at: number;
      remaining_ms: number;
      saved_seq: number;
      section?: SectionClock;
    }
  | { t: 'event_ack'; n: number; dropped?: number }
  | { t: 'open'; key: string; deadline_at: number; remaining_ms: number; timing_rev: number }
  | {
      t: 'timing';
      deadline_at: number;
      remaining_ms: number;
      timing_rev: number;
      reason: 'extended' | 'resumed' | 'corrected' | 'compensated';
    }
  | { t: 'health'; level: number; heartbeat_ms: number }
  | { t: 'status'; status: AttemptStatus; reason?: string; section?: string }
  | ({ t: 'notice' } & Notice)
  | Submitted
  | { t: 'error'; code: string; detail?: string }
  | { t: 'bye'; code: string; detail?: string; retry_ms?: number };

/** `POST /attempts/{id}/exchange`: the same messages without a socket. */
export interface ExchangeRequest {
  session?: string;
  next_seq?: number;
  commands: Command[];
  signals: Signal[];
}

export interface ExchangeReply {
  session: string;
  resumed: boolean;
  saved_seq: number;
  applied_seq: number;
  refused: Refused[];
  status: AttemptStatus;
  deadline_at: number;
  remaining_ms: number;
  timing_rev: number;
  notices: Notice[];
  event_ack?: { n: number; dropped?: number };
}
