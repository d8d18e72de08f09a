import type { Attempt, Question, Rejection } from 'invigil-js';
import { ValueView } from '../shared/value-view';

interface Props {
  attempt: Attempt;
  question: Question;
  rejection: Rejection;
}

/** Two versions of one answer: the person says which one counts. */
export function Conflict({ attempt, question, rejection }: Props) {
  return (
    <section class="note note-warn conflict" role="alert" aria-labelledby="conflict-title">
      <h3 id="conflict-title">This answer was changed elsewhere</h3>
      <p>While this page had no connection, another version was saved. Which one shall count?</p>
      <div class="versions">
        <div>
          <h4>What you wrote here</h4>
          <ValueView question={question} value={rejection.value} />
          <button class="primary" onClick={() => attempt.resolve(question.id, 'mine')}>
            Use this one
          </button>
        </div>
        <div>
          <h4>What is saved</h4>
          <ValueView question={question} value={rejection.theirs?.value ?? null} />
          <button onClick={() => attempt.resolve(question.id, 'theirs')}>Keep that one</button>
        </div>
      </div>
    </section>
  );
}
