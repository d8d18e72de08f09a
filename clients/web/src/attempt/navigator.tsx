import {
  isAnswered,
  isFlagged,
  saveState,
  sectionState,
  valueOf,
  type Section,
  type State,
} from 'invigil-js';
import { Icon } from '../shared/icons';
import { useNow } from './hooks';

interface Props {
  state: State;
  sections: Section[];
  current: string;
  onGo: (q: string) => void;
}

/** Keeps the current question in sight, in a long list too. */
const keepInSight = (button: HTMLElement | null) => button?.scrollIntoView({ block: 'nearest' });

/** Every question at a glance, and the way to each of them. */
export function Navigator({ state, sections, current, onGo }: Props) {
  const now = useNow(1000);
  let number = 0;
  return (
    <nav class="navigator" aria-label="Questions">
      {sections.map((section) => {
        const where = sectionState(state, section);
        return (
          <section key={section.id}>
            {(section.title || sections.length > 1) && (
              <h2>
                {where !== 'open' && <Icon name="lock" />}
                {section.title || 'Questions'}
                {where !== 'open' && (
                  <span class="muted"> {where === 'over' ? 'over' : 'later'}</span>
                )}
              </h2>
            )}
            <ul>
              {section.questions.map(({ id }) => {
                number += 1;
                const answered = isAnswered(valueOf(state, id));
                const flagged = isFlagged(state, id);
                const unsaved = saveState(state, id, now) === 'unsaved';
                const words = [
                  `Question ${number}`,
                  answered ? 'answered' : 'not answered',
                  flagged && 'flagged for review',
                  unsaved && 'not saved yet',
                ];
                return (
                  <li key={id}>
                    <button
                      class={[
                        'nav-question',
                        answered && 'is-answered',
                        flagged && 'is-flagged',
                        unsaved && 'is-unsaved',
                      ]
                        .filter(Boolean)
                        .join(' ')}
                      aria-label={words.filter(Boolean).join(', ')}
                      aria-current={id === current ? 'step' : undefined}
                      ref={id === current ? keepInSight : null}
                      onClick={() => onGo(id)}
                    >
                      {number}
                      {flagged && <Icon name="flag" />}
                    </button>
                  </li>
                );
              })}
            </ul>
          </section>
        );
      })}
    </nav>
  );
}

/** Returns the person's progress in words. */
export function progressWords(answered: number, questions: number): string {
  return `${answered} of ${questions} answered`;
}
