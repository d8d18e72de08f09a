import { isConnected, remainingMs, unsavedQuestions, type Attempt, type State } from 'invigil-js';
import { plural, spoken } from '../shared/format';
import { Icon } from '../shared/icons';
import { useNow } from './hooks';
import { explainAlert } from './words';

/** Banners about the whole attempt, not about a single question. */
export function Banners({ attempt, state }: { attempt: Attempt; state: State }) {
  const now = useNow(1000);
  const unsaved = unsavedQuestions(state).length;
  const timeIsUp = remainingMs(state, now) === 0;
  return (
    <div class="banners">
      {!isConnected(state) && (
        <div class="note note-warn" role="status">
          <Icon name="alert" />
          <p>
            <strong>No connection.</strong> Keep working: your answers are kept on this computer
            {unsaved > 0 && ` (${plural(unsaved, 'answer')} not saved yet)`} and are sent as soon as
            the connection is back. The time goes on.
          </p>
        </div>
      )}
      {state.status === 'paused' && (
        <div class="note note-warn" role="status">
          <Icon name="pause" />
          <p>
            <strong>The exam is paused{state.reason && `: ${state.reason}`}.</strong> Your time has
            stopped, and answers can be changed again when it goes on.
          </p>
        </div>
      )}
      {timeIsUp && state.status === 'in_progress' && (
        <div class="note note-warn" role="status">
          <Icon name="clock" />
          <p>
            {state.grace_ms > 0 ? (
              <>
                <strong>The time is over.</strong> For {spoken(state.grace_ms)} more, answers still
                count, as late ones. Then the exam is handed in by itself.
              </>
            ) : (
              <>
                <strong>The time is over.</strong> Your exam is being handed in as it stands.
              </>
            )}
          </p>
        </div>
      )}
      {state.submitting && (
        <div class="note" role="status">
          <p>
            <strong>Handing in …</strong>{' '}
            {!isConnected(state) && 'This is done as soon as the connection is back. '}
            Please leave this page open.
          </p>
        </div>
      )}
      {state.alert && (
        <div class="note note-bad" role="alert">
          <p>{explainAlert(state.alert)}</p>
          <button onClick={attempt.dismiss}>Close</button>
        </div>
      )}
    </div>
  );
}
