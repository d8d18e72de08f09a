import type { Attempt, State } from 'invigil-js';
import { Dialog } from '../shared/dialog';
import { Icon } from '../shared/icons';

interface Props {
  attempt: Attempt;
  notices: State['notices'];
}

/** Messages to the person: urgent ones stand in the way, the others above the page. */
export function Notices({ attempt, notices }: Props) {
  const open = notices.filter((notice) => !notice.acknowledged);
  const urgent = open.find(({ level }) => level === 'urgent');
  return (
    <div class="notices" role="log" aria-label="Messages" aria-live="assertive">
      {open
        .filter((notice) => notice !== urgent)
        .map((notice) => (
          <div key={notice.id} class={`notice notice-${notice.level}`}>
            <Icon name="alert" />
            <div>
              <p class="notice-from">{notice.from ?? 'Supervisor'}</p>
              <p>{notice.text}</p>
            </div>
            <button onClick={() => attempt.acknowledge(notice.id)}>
              {notice.ack ? 'I have read this' : 'Close'}
            </button>
          </div>
        ))}
      {urgent && (
        <Dialog key={urgent.id} title={urgent.from ?? 'Message from your supervisor'}>
          <p>{urgent.text}</p>
          <div class="dialog-buttons">
            <button class="primary" onClick={() => attempt.acknowledge(urgent.id)}>
              I have read this
            </button>
          </div>
        </Dialog>
      )}
    </div>
  );
}
