import { progress, unsavedQuestions, type Attempt, type Section, type State } from 'invigil-js';
import { useCallback, useEffect, useMemo, useState } from 'preact/hooks';
import { Dialog } from '../shared/dialog';
import { Rich } from '../shared/rich';
import { HandInDialog } from './hand-in';
import { Header } from './header';
import { Navigator, progressWords } from './navigator';
import { QuestionPanel } from './question';
import { HELP, useShortcuts } from './shortcuts';
import { Banners } from './banners';

interface Props {
  attempt: Attempt;
  state: State;
  title: string;
  sections: Section[];
}

type DialogName = 'hand_in' | 'help' | null;

/** The exam while it is taken: one question at a time, and the way to all others. */
export function Taking({ attempt, state, title, sections }: Props) {
  const places = useMemo(
    () =>
      sections.flatMap((section) => section.questions.map((question) => ({ section, question }))),
    [sections],
  );
  const [index, setIndex] = useState(0);
  const [dialog, setDialog] = useState<DialogName>(null);
  const place = places[Math.min(index, places.length - 1)];
  const q = place?.question.id ?? null;

  useEffect(() => attempt.show(q), [attempt, q]);
  useEffect(() => {
    document.title = `Question ${index + 1} of ${places.length} · ${title}`;
  }, [index, places.length, title]);
  // The person goes on with the part that begins.
  const running = state.section?.id;
  useEffect(() => {
    const first = places.findIndex(({ section }) => section.id === running);
    if (running !== undefined && first >= 0) setIndex(first);
  }, [running, places]);

  const go = useCallback(
    (to: number) => {
      if (to < 0 || to >= places.length) return;
      setIndex(to);
      scrollTo({ top: 0 });
    },
    [places.length],
  );
  const goTo = (id: string) => go(places.findIndex(({ question }) => question.id === id));
  useShortcuts({
    attempt,
    q,
    go,
    index,
    enabled: dialog === null,
    onHelp: () => setDialog('help'),
  });

  if (!place) return <p class="page">This exam has no questions.</p>;
  const { answered, questions } = progress(state);
  return (
    <>
      <a class="skip" href="#question">
        Skip to the question
      </a>
      <Header
        attempt={attempt}
        state={state}
        title={title}
        onHandIn={() => {
          attempt.flush();
          setDialog('hand_in');
        }}
        onHelp={() => setDialog('help')}
      />
      <div class="attempt">
        <aside>
          <details class="overview" open={matchMedia('(min-width: 60rem)').matches}>
            <summary>{progressWords(answered, questions)}</summary>
            <progress value={answered} max={questions} aria-label="Questions answered" />
            <Navigator state={state} sections={sections} current={place.question.id} onGo={goTo} />
            {state.exam?.instructions && (
              <details class="instructions">
                <summary>Instructions</summary>
                <Rich text={state.exam.instructions} />
              </details>
            )}
          </details>
        </aside>
        <main id="question" tabIndex={-1}>
          <Banners attempt={attempt} state={state} />
          <QuestionPanel
            key={place.question.id}
            attempt={attempt}
            state={state}
            section={place.section}
            question={place.question}
            index={index}
            count={places.length}
            onGo={go}
            onHandIn={() => setDialog('hand_in')}
          />
        </main>
      </div>
      {dialog === 'hand_in' && (
        <HandInDialog
          attempt={attempt}
          state={state}
          places={places}
          unsaved={unsavedQuestions(state)}
          onGo={goTo}
          onClose={() => setDialog(null)}
        />
      )}
      {dialog === 'help' && (
        <Dialog title="Keyboard" onClose={() => setDialog(null)}>
          <dl class="keys">
            {HELP.map(([keys, meaning]) => (
              <div key={keys}>
                <dt>
                  <kbd>{keys}</kbd>
                </dt>
                <dd>{meaning}</dd>
              </div>
            ))}
          </dl>
          <div class="dialog-buttons">
            <button class="primary" onClick={() => setDialog(null)}>
              Close
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}
