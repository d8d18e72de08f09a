/** The page's questions to a state. */

import { isAnswered, type Question, type Section, type Value } from './paper';
import { editable } from './reduce';
import type { State } from './state';

/** The place of an answer: on the engine's disk, on its way there, or in this browser alone. */
export type SaveState = 'saved' | 'saving' | 'unsaved';

/** An answer that takes longer is called unsaved, whatever the link looks like. */
export const SAVING_MAX_MS = 5_000;

/** Returns the answer that the person sees: their newest. */
export function valueOf(state: State, q: string): Value {
  const draft = state.drafts[q];
  if (draft) return draft.value;
  for (const { command } of state.outbox.toReversed()) {
    if (command.t === 'answer' && command.q === q) return command.value;
  }
  const doubt = state.doubts[q];
  if (doubt) return doubt.value;
  const rejection = state.rejected[q];
  if (rejection) return rejection.value;
  return state.record?.[q]?.value ?? null;
}

/** Returns whether the person marked a question for review. */
export function isFlagged(state: State, q: string): boolean {
  for (const { command } of state.outbox.toReversed()) {
    if (command.t === 'flag' && command.q === q) return command.on;
  }
  return state.record?.[q]?.flagged ?? false;
}

/** Returns whether commands reach the engine at the moment. */
export function isConnected(state: State): boolean {
  return state.link.kind === 'live' || (state.exchange.on && state.exchange.healthy);
}

/** Returns the save state of the answer to a question. */
export function saveState(state: State, q: string, now: number): SaveState {
  if (q in state.rejected) return 'unsaved';
  const since = [
    ...(state.drafts[q] ? [state.drafts[q].since] : []),
    ...(state.doubts[q] ? [state.doubts[q].since] : []),
    ...state.outbox
      .filter(({ command }) => command.t !== 'submit' && command.q === q)
      .map((entry) => entry.since),
  ];
  if (since.length === 0) return 'saved';
  if (!isConnected(state) || now - Math.min(...since) > SAVING_MAX_MS) return 'unsaved';
  return 'saving';
}

/** Returns the questions whose newest answer is not saved. */
export function unsavedQuestions(state: State): string[] {
  const pending = state.outbox.flatMap(({ command }) => ('q' in command ? [command.q] : []));
  return [
    ...new Set([state.rejected, state.drafts, state.doubts].flatMap(Object.keys).concat(pending)),
  ];
}

/** Returns the save state of all answers: that of the least safe. */
export function overallSaveState(state: State, now: number): SaveState {
  const states = unsavedQuestions(state).map((q) => saveState(state, q, now));
  if (states.includes('unsaved')) return 'unsaved';
  return states.includes('saving') ? 'saving' : 'saved';
}

/** State of a section: a timed section is open only while it runs. */
export type SectionState = 'open' | 'over' | 'later';

export function sectionState(state: State, section: Section): SectionState {
  if (section.time_limit_ms === undefined) return 'open';
  const sections = state.paper.sections ?? [];
  const running = sections.findIndex(({ id }) => id === state.section?.id);
  if (running === -1) return 'over';
  const own = sections.findIndex(({ id }) => id === section.id);
  if (own === running) return 'open';
  return own < running ? 'over' : 'later';
}

/** Returns whether the person may change the answer to a question at this moment. */
export function isEditable(state: State, section: Section, question: Question): boolean {
  return (
    editable(state) &&
    sectionState(state, section) === 'open' &&
    state.rejected[question.id]?.code !== 'conflict'
  );
}

/** Counts the questions, and those with an answer. */
export function progress(state: State): { answered: number; questions: number } {
  const questions = (state.paper.sections ?? []).flatMap((section) => section.questions);
  const answered = questions.filter(({ id }) => isAnswered(valueOf(state, id))).length;
  return { answered, questions: questions.length };
}
