/** The protocol's codes in words for the person. */

import type { Alert, RefusalCode, Rejection } from 'invigil-js';

const REFUSALS: Record<RefusalCode, string> = {
  gap: 'This answer got lost on the way. Change it once more.',
  not_open: 'The exam was not open yet, so this answer was not taken.',
  conflict: 'Another version of this answer was saved from elsewhere.',
  unknown_question: 'This question does not belong to your exam, so the answer was not taken.',
  bad_value: 'The answer has a form that this question does not take. Please change it.',
  too_large: 'The answer is too long and was not saved. Please shorten it.',
  paused: 'The exam is paused. Your answer is kept here and is sent when it goes on.',
  time_over: 'The time was over, so this answer was not taken.',
  closed: 'The exam is already handed in, so this answer was not taken.',
  locked: 'This part of the exam is not open, so the answer was not taken.',
};

/** Explains the refusal of an answer. */
export function explainRejection({ code }: Rejection): string {
  return REFUSALS[code];
}

const ALERTS: Partial<Record<Alert['code'], string>> = {
  paused: 'The exam is paused: it can be handed in when it goes on.',
  time_over: 'The time is over: the exam is handed in by itself.',
  closed: 'The exam is already handed in.',
  not_open: 'The exam is not open yet.',
  lost_session:
    'The exam was open elsewhere in the meantime. Look your answers over and hand in again.',
};

/** Explains a refusal that belongs to no answer. */
export function explainAlert({ about, code }: Alert): string {
  if (about === 'flag') return 'The mark could not be changed.';
  return ALERTS[code] ?? 'Handing in did not work. Please try again.';
}
