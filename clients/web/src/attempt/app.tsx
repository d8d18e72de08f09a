import { isOver, type Attempt } from 'invigil-js';
import { BrandBar } from '../shared/brand';
import type { Seat } from '../shared/session';
import { Ended } from './ended';
import { useAttemptState } from './hooks';
import { Lobby } from './lobby';
import { Notices } from './notices';
import { Taking } from './taking';

interface Props {
  attempt: Attempt;
  seat: Seat;
}

/** The page of the attempt's stage. */
export function App({ attempt, seat }: Props) {
  const state = useAttemptState(attempt);
  const title = state.exam?.title ?? seat.exam.title;
  const { sections } = state.paper;

  if (state.link.kind === 'ended' || (state.status && isOver(state.status))) {
    return <Ended state={state} title={title} />;
  }
  if (state.status === 'started') return <Lobby attempt={attempt} state={state} title={title} />;
  if (!sections || !state.record) return <Loading title={title} failures={state.failures} />;
  return (
    <>
      <Taking attempt={attempt} state={state} title={title} sections={sections} />
      <Notices attempt={attempt} notices={state.notices} />
    </>
  );
}

function Loading({ title, failures }: { title: string; failures: number }) {
  return (
    <>
      <BrandBar />
      <main class="page">
        <h1>{title}</h1>
        <p role="status">
          {failures > 0
            ? 'The server cannot be reached yet. Still trying …'
            : 'Your exam is being loaded …'}
        </p>
      </main>
    </>
  );
}
