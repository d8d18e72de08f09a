import type { ComponentChildren } from 'preact';
import {
  isAnswered,
  type Question,
  type QuestionResult,
  type Result,
  type Section,
} from 'invigil-js';
import '../styles/result.css';
import { points } from './format';
import { Icon } from './icons';
import { Rich } from './rich';
import { KeyView, ValueView } from './value-view';

interface Props {
  result: Result;
  /** In the candidate's order. */
  sections: Section[];
  receipt: ComponentChildren;
}

/** Score, grade, and each question with the answer that was given. */
export function ResultView({ result, sections, receipt }: Props) {
  let number = 0;
  return (
    <div class="result">
      <Summary result={result} receipt={receipt} />
      {sections.map((section) => (
        <section key={section.id} aria-label={section.title}>
          {section.title && <h2>{section.title}</h2>}
          <ol class="result-questions" start={number + 1}>
            {section.questions.map((question) => {
              number += 1;
              const own = result.questions.find(({ q }) => q === question.id);
              return own ? (
                <li key={question.id}>
                  <QuestionCard number={number} question={question} own={own} />
                </li>
              ) : null;
            })}
          </ol>
        </section>
      ))}
    </div>
  );
}

function Summary({ result, receipt }: { result: Result; receipt: ComponentChildren }) {
  const { score, max_score, percentage, grade, passed, needs_marking, late, penalty } = result;
  return (
    <div class="card summary">
      <p class="score">
        <strong>{points(score)}</strong> of {points(max_score)} points
        {needs_marking && ' so far'}
      </p>
      <dl class="facts">
        <div>
          <dt>Percentage</dt>
          <dd>{points(percentage)} %</dd>
        </div>
        {grade !== null && (
          <div>
            <dt>Grade</dt>
            <dd>{grade}</dd>
          </div>
        )}
        {passed !== null && (
          <div>
            <dt>Passed</dt>
            <dd>{passed ? 'Yes' : 'No'}</dd>
          </div>
        )}
      </dl>
      {needs_marking && (
        <p class="note">
          Some of your answers are marked by a person. Score and grade are final when that is done.
        </p>
      )}
      {late && (
        <p class="note">
          Handed in late{penalty > 0 && `: ${points(penalty)} points were taken off`}.
        </p>
      )}
      {receipt}
    </div>
  );
}

type Verdict = 'right' | 'partly' | 'wrong' | 'open' | 'empty';

const VERDICT_WORDS: Record<Verdict, string> = {
  right: 'Right',
  partly: 'Partly right',
  wrong: 'Wrong',
  open: 'Not marked yet',
  empty: 'Not answered',
};

function verdictOf(own: QuestionResult): Verdict {
  if (!isAnswered(own.value)) return 'empty';
  if (own.score === null) return 'open';
  if (own.score >= own.points) return 'right';
  return own.score > 0 ? 'partly' : 'wrong';
}

interface CardProps {
  number: number;
  question: Question;
  own: QuestionResult;
}

function QuestionCard({ number, question, own }: CardProps) {
  const verdict = verdictOf(own);
  return (
    <article class={`card verdict-${verdict}`} aria-label={`Question ${number}`}>
      <header class="result-head">
        <h3>Question {number}</h3>
        <span class={`badge badge-${verdict}`}>
          {verdict === 'right' && <Icon name="check" />}
          {verdict === 'wrong' && <Icon name="cross" />}
          {VERDICT_WORDS[verdict]}
        </span>
        <span class="muted">
          {own.score === null ? '–' : points(own.score)} of {points(own.points)}
        </span>
      </header>
      <Rich text={question.content} />
      <dl class="answers">
        <div>
          <dt>Your answer</dt>
          <dd>
            <ValueView question={question} value={own.value} />
          </dd>
        </div>
        {own.answer !== undefined && own.answer !== null && (
          <div>
            <dt>Right answer</dt>
            <dd>
              <KeyView question={question} answer={own.answer} />
            </dd>
          </div>
        )}
      </dl>
    </article>
  );
}
