/** The REST calls of the pages. Signed in by the session cookie, which no script sees. */

import type { AttemptStatus, Paper, Result } from 'invigil-js';

export interface User {
  id: string;
  name: string;
  roles: ('candidate' | 'proctor' | 'teacher' | 'admin')[];
}

/** An attempt of the person's own. */
export interface OwnAttempt {
  id: string;
  number: number;
  status: AttemptStatus;
  started_at: number;
  submitted_at?: number | null;
  result_available: boolean;
}

/** An exam that the person may take or watch. */
export interface Exam {
  code: string;
  title: string;
  type: string;
  instructions?: string | null;
  duration_minutes: number;
  available_from_at?: number | null;
  available_until_at?: number | null;
  lobby_minutes: number;
  status: 'upcoming' | 'lobby' | 'open' | 'closed';
  max_attempts: number;
  password_required: boolean;
  attempts: OwnAttempt[];
}

/** A started attempt. */
export interface Started {
  attempt: string;
  token: string;
  status: AttemptStatus;
}

/** An error for an answer; `code` is stable, status 0 means no answer at all. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
  ) {
    super(detail);
  }
}

/** Lead of the engine's clock over this computer's, as far as known. */
let clockAheadMs = 0;

/** Returns the time by the engine's clock, good to a second. */
export function engineNow(): number {
  return Date.now() + clockAheadMs;
}

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.headers = { 'content-type': 'application/json' };
    init.body = JSON.stringify(body);
  }
  const response = await fetch(`/api/v1${path}`, init).catch(() => {
    throw new Problem(0, 'unreachable', 'The server cannot be reached.');
  });
  const date = Date.parse(response.headers.get('date') ?? '');
  if (!Number.isNaN(date)) clockAheadMs = date - Date.now();
  if (response.status === 204) return undefined as T;
  const content: unknown = await response.json().catch(() => ({}));
  if (response.ok) return content as T;
  const { code = 'unknown', detail = '' } = content as { code?: string; detail?: string };
  throw new Problem(response.status, code, detail);
}

const attemptPath = (id: string) => `/attempts/${encodeURIComponent(id)}`;

export const login = (id: string, code: string) =>
  call<{ user: User }>('POST', '/login', { id, code });

export const logout = () => call<void>('POST', '/logout');

export const exams = () => call<{ exams: Exam[] }>('GET', '/exams');

export const start = (code: string, password: string | null) =>
  call<Started>(
    'POST',
    `/exams/${encodeURIComponent(code)}/attempts`,
    password === null ? {} : { password },
  );

export const result = (id: string) => call<Result>('GET', `${attemptPath(id)}/result`);

export const paper = (id: string) => call<Paper>('GET', `${attemptPath(id)}/paper`);

export const receiptUrl = (id: string) => `/api/v1${attemptPath(id)}/receipt`;

export const resultsCsvUrl = (code: string) =>
  `/api/v1/exams/${encodeURIComponent(code)}/results?format=csv`;
