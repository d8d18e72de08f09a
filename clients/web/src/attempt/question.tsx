import {
  isAnswered,
  isEditable,
  isFlagged,
  saveState,
  sectionState,
  valueOf,
  type Attempt,
  type Question,
  type SaveState,
  type Section,
  type State,
} from 'invigil-js';
import { useEffect, useRef } from 'preact/hooks';
import { plural, points } from '../shared/format';
import { Icon } from '../shared/icons';
import { Rich } from '../shared/rich';
import { Conflict } from './conflict';
import { useNow } from './hooks';
import { AnswerInput } from './inputs/answer-input';
import { explainRejection } from './words';

interface Props {
  attempt: Attempt;
  state: State;
  section: Section;
  question: Question;
  index: number;
  count: number;
  onGo: (index: number) => void;
  onHandIn: () => void;
}

export function QuestionPanel(props: Props) {
  const { attempt, state, section, question, index, count, onGo, onHandIn } = props;
  const { id } = question;
  const heading = useRef<HTMLHeadingElement>(null);
  const first = useRef(true);
  // The focus, and with it a screen reader, goes to each new question, but not to the first.
  useEffect(() => {
    if (document.activeElement !== document.body || !first.current) heading.current?.focus();
    first.current = false;
  }, []);

  const value = valueOf(state, id);
  const editable = isEditable(state, section, question);
  const flagged = isFlagged(state, id);
  const rejection = state.rejected[id];
  const where = sectionState(state, section);
  return (
    <article class="card question" aria-labelledby="question-heading">
      <header class="question-head">
        <div>
          {section.title && <p class="eyebrow">{section.title}</p>}
          <h2 id="question-heading" ref={heading} tabIndex={-1}>
            Question {index + 1} <span class="muted">of {count}</span>
          </h2>
        </div>
        <span class="muted">{plural(Number(points(question.points)), 'point')}</span>
      </header>
      {where !== 'open' && (
        <p class="note" role="status">
          {where === 'over'
            ? 'This part is over: its answers can be read but not changed.'
            : 'This part has not begun yet.'}
        </p>
      )}
      {question.type !== 'fill_blank' && <Rich text={question.content} />}
      <AnswerInput
        question={question}
        value={value}
        disabled={!editable}
        onEdit={(next, hold = false) => attempt.edit(id, next, hold)}
        onLeave={attempt.flush}
      />
      {rejection?.code === 'conflict' ? (
        <Conflict attempt={attempt} question={question} rejection={rejection} />
      ) : (
        rejection && (
          <p class="note note-bad" role="alert">
            {explainRejection(rejection)}
          </p>
        )
      )}
      <div class="question-tools">
        <button
          class={flagged ? 'flag is-on' : 'flag'}
          aria-pressed={flagged}
          aria-keyshortcuts="Alt+Shift+F"
          disabled={state.status !== 'in_progress' || state.submitting}
          onClick={() => attempt.flag(id, !flagged)}
        >
          <Icon name="flag" />
          {flagged ? 'Flagged for review' : 'Flag for review'}
        </button>
        <button
          class="quiet"
          disabled={!editable || !isAnswered(value)}
          onClick={() => attempt.edit(id, null)}
        >
          Clear the answer
        </button>
        <QuestionSaveState state={state} q={id} answered={isAnswered(value)} />
      </div>
      <footer class="question-foot">
        <button
          disabled={index === 0}
          aria-keyshortcuts="Alt+Shift+P"
          onClick={() => onGo(index - 1)}
        >
          <Icon name="left" />
          Previous
        </button>
        {index + 1 < count ? (
          <button class="primary" aria-keyshortcuts="Alt+Shift+N" onClick={() => onGo(index + 1)}>
            Next
            <Icon name="right" />
          </button>
        ) : (
          <button class="primary" disabled={state.submitting} onClick={onHandIn}>
            Hand in …
          </button>
        )}
      </footer>
    </article>
  );
}

const SAVE_WORDS: Record<SaveState, string> = {
  saved: 'Saved',
  saving: 'Saving …',
  unsaved: 'Not saved yet',
};

interface SaveProps {
  state: State;
  q: string;
  answered: boolean;
}

function QuestionSaveState({ state, q, answered }: SaveProps) {
  const saving = saveState(state, q, useNow(1000));
  return (
    <span class={`save-state save-${saving}`} data-question-save={saving}>
      {saving === 'saved' ? answered && <Icon name="check" /> : <Icon name="cloud" />}
      {saving === 'saved' && !answered ? '' : SAVE_WORDS[saving]}
    </span>
  );
}
