import { opensInMs, type Attempt, type State } from 'invigil-js';
import { useEffect } from 'preact/hooks';
import { BrandBar } from '../shared/brand';
import { clock } from '../shared/format';
import { Rich } from '../shared/rich';
import { useNow } from './hooks';
import { Notices } from './notices';

interface Props {
  attempt: Attempt;
  state: State;
  title: string;
}

/** The waiting room: the paper is here, its key is not. */
export function Lobby({ attempt, state, title }: Props) {
  const left = opensInMs(state, useNow(250));
  useEffect(() => {
    document.title = `Waiting · ${title}`;
  }, [title]);
  return (
    <>
      <BrandBar />
      <main class="page">
        <h1>{title}</h1>
        <section class="card lobby" aria-labelledby="lobby-title">
          <h2 id="lobby-title">You are in the waiting room</h2>
          {left !== null && (
            <p role="timer" class="lobby-clock digits">
              {clock(left)}
            </p>
          )}
          <p>
            The exam begins by itself. You need not do anything, and nobody begins earlier than you.
          </p>
          <p role="status" class="muted">
            {state.link.kind === 'live'
              ? 'Connected. Your paper is ready.'
              : 'Connecting … your place is kept.'}
          </p>
        </section>
        {state.exam?.instructions && (
          <section aria-label="Instructions">
            <h2>Instructions</h2>
            <Rich text={state.exam.instructions} />
          </section>
        )}
        <Notices attempt={attempt} notices={state.notices} />
      </main>
    </>
  );
}
