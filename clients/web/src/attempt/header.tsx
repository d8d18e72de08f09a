import {
  isConnected,
  overallSaveState,
  remainingMs,
  sectionRemainingMs,
  type Attempt,
  type SaveState,
  type State,
} from 'invigil-js';
import { useEffect, useState } from 'preact/hooks';
import { clock, spoken } from '../shared/format';
import { Icon } from '../shared/icons';
import { useNow } from './hooks';

const MINUTE_MS = 60_000;
/** Remaining times at which the person is warned. */
const WARN_AT_MS = [5 * MINUTE_MS, MINUTE_MS];

interface Props {
  attempt: Attempt;
  state: State;
  title: string;
  onHandIn: () => void;
  onHelp: () => void;
}

export function Header({ state, title, onHandIn, onHelp }: Props) {
  return (
    <header class="bar attempt-bar">
      <h1 class="attempt-title">{title}</h1>
      <div class="bar-end">
        <SaveChip state={state} />
        <Clock state={state} />
        <button class="quiet help" onClick={onHelp} aria-label="Keyboard shortcuts">
          <Icon name="keyboard" />
        </button>
        <button class="primary" onClick={onHandIn} disabled={state.submitting}>
          {state.submitting ? 'Handing in …' : 'Hand in'}
        </button>
      </div>
    </header>
  );
}

const SAVE_WORDS: Record<SaveState, string> = {
  saved: 'All saved',
  saving: 'Saving …',
  unsaved: 'Not saved yet',
};

/** The save state of all answers. Screen readers hear it too, except the flicker of every
 * single save. */
function SaveChip({ state }: { state: State }) {
  const saving = overallSaveState(state, useNow(1000));
  const offline = !isConnected(state);
  const words = offline
    ? `Offline${saving === 'unsaved' ? ' – not saved yet' : ''}`
    : SAVE_WORDS[saving];
  return (
    <div class={`chip chip-${offline ? 'unsaved' : saving}`} data-save={saving}>
      <Icon name={saving === 'saved' && !offline ? 'check' : offline ? 'alert' : 'cloud'} />
      <span>{words}</span>
      <span class="visually-hidden" role="status">
        {saving === 'saving' ? '' : words}
      </span>
    </div>
  );
}

function Clock({ state }: { state: State }) {
  const now = useNow(250);
  const left = remainingMs(state, now);
  const section = sectionRemainingMs(state, now);
  const shown = section === null ? left : left === null ? section : Math.min(section, left);
  if (shown === null) return null;
  const urgency = shown <= MINUTE_MS ? 'last' : shown <= 5 * MINUTE_MS ? 'soon' : 'calm';
  const over = left === 0;
  return (
    <div class={`chip clock clock-${urgency}`}>
      <Icon name={state.status === 'paused' ? 'pause' : 'clock'} />
      <span class="visually-hidden">Time left{section === null ? '' : ' in this part'}:</span>
      <span role="timer" class="digits">
        {over ? 'Time is up' : clock(shown)}
      </span>
      {section !== null && <span class="clock-part">this part</span>}
      <TimeWarning left={shown} running={state.status === 'in_progress'} />
    </div>
  );
}

/** Warns screen readers politely, five minutes and one minute before the end. */
function TimeWarning({ left, running }: { left: number; running: boolean }) {
  const [said, setSaid] = useState('');
  const due = WARN_AT_MS.findLast((at) => left <= at && left > at - 10_000);
  useEffect(() => {
    if (running && due !== undefined) setSaid(`${spoken(due)} left.`);
  }, [due, running]);
  return (
    <span class="visually-hidden" role="status" aria-live="polite">
      {said}
    </span>
  );
}
