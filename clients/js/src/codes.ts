/**
 * The names and numbers of the protocol, each in one place.
 *
 * See `docs/protocol.md`; the words for people are the page's business.
 */

/** Close codes of the socket. From `BAD_MESSAGE` on a client does not reconnect by itself. */
export const CloseCode = {
  FINISHED: 1000,
  DRAINING: 1001,
  FRAME_TOO_BIG: 1009,
  INTERNAL_ERROR: 1011,
  IDLE: 4408,
  RATE_LIMITED: 4429,
  SLOW_CONSUMER: 4430,
  MOVED: 4431,
  OVERLOADED: 4432,
  BAD_MESSAGE: 4500,
  UNAUTHORIZED: 4501,
  FORBIDDEN: 4503,
  SUPERSEDED: 4509,
  CLOSED: 4510,
} as const;

/** Returns whether a client may connect again by itself after this close code. */
export function mayReconnect(code: number): boolean {
  return code !== CloseCode.FINISHED && code < CloseCode.BAD_MESSAGE;
}

/** Reasons for the refusal of a command. */
export type RefusalCode =
  | 'gap'
  | 'not_open'
  | 'conflict'
  | 'unknown_question'
  | 'bad_value'
  | 'too_large'
  | 'paused'
  | 'time_over'
  | 'closed'
  | 'locked';

/** Status of an attempt. */
export type AttemptStatus =
  | 'started'
  | 'in_progress'
  | 'paused'
  | 'submitted'
  | 'auto_submitted'
  | 'graded'
  | 'reviewed'
  | 'cancelled'
  | 'flagged';

/** Returns whether the answers can change no more. */
export function isOver(status: AttemptStatus): boolean {
  return status !== 'started' && status !== 'in_progress' && status !== 'paused';
}

/** Events that a client reports by itself; the exam's rules judge them. */
export type EventKind =
  | 'focus_lost'
  | 'focus_gained'
  | 'page_hidden'
  | 'page_visible'
  | 'fullscreen_exit'
  | 'copy'
  | 'cut'
  | 'paste'
  | 'context_menu'
  | 'print'
  | 'offline';
