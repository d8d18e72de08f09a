import {
  isAnswered,
  isConnected,
  isFlagged,
  valueOf,
  type Attempt,
  type Question,
  type State,
} from 'invigil-js';
import { Dialog } from '../shared/dialog';
import { plural } from '../shared/format';

interface Props {
  attempt: Attempt;
  state: State;
  places: { question: Question }[];
  unsaved: string[];
  onGo: (q: string) => void;
  onClose: () => void;
}

/** The last question before a hand-in, with everything that is not done. */
export function HandInDialog({ attempt, state, places, unsaved, onGo, onClose }: Props) {
  const numbered = places.map(({ question }, index) => ({ id: question.id, number: index + 1 }));
  const unanswered = numbered.filter(({ id }) => !isAnswered(valueOf(state, id)));
  const flagged = numbered.filter(({ id }) => isFlagged(state, id));
  const waiting = numbered.filter(({ id }) => unsaved.includes(id));
  const go = (id: string) => {
    onClose();
    onGo(id);
  };
  return (
    <Dialog title="Hand in your exam?" onClose={onClose}>
      {unanswered.length === 0 ? (
        <p>You answered all {plural(places.length, 'question')}.</p>
      ) : (
        <Group
          title={`${plural(unanswered.length, 'question')} not answered`}
          questions={unanswered}
          onGo={go}
        />
      )}
      {flagged.length > 0 && (
        <Group
          title={`${plural(flagged.length, 'question')} flagged for review`}
          questions={flagged}
          onGo={go}
        />
      )}
      {waiting.length > 0 && (
        <Group
          title={`${plural(waiting.length, 'answer')} not saved yet`}
          questions={waiting}
          onGo={go}
        />
      )}
      {waiting.length > 0 && (
        <p class="note note-warn">
          {isConnected(state)
            ? 'They are saved before the exam is handed in.'
            : 'There is no connection. The exam is handed in, with all your answers, ' +
              'when it is back: leave this page open until then.'}
        </p>
      )}
      <p class="muted">After handing in, nothing can be changed.</p>
      <div class="dialog-buttons">
        <button onClick={onClose}>Keep working</button>
        <button
          class="primary"
          disabled={state.status !== 'in_progress'}
          onClick={() => {
            attempt.submit();
            onClose();
          }}
        >
          Hand in now
        </button>
      </div>
    </Dialog>
  );
}

interface GroupProps {
  title: string;
  questions: { id: string; number: number }[];
  onGo: (q: string) => void;
}

function Group({ title, questions, onGo }: GroupProps) {
  return (
    <section class="hand-in-group">
      <h3>{title}</h3>
      <ul>
        {questions.map(({ id, number }) => (
          <li key={id}>
            <button aria-label={`Go to question ${number}`} onClick={() => onGo(id)}>
              {number}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
