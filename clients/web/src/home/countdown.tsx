import { useEffect, useState } from 'preact/hooks';
import { engineNow, type Exam } from '../shared/api';
import { clock, moment } from '../shared/format';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

interface Props {
  exam: Exam;
  reload: () => Promise<void>;
}

/** The time until a candidate may enter, and until the exam opens. */
export function Countdown({ exam, reload }: Props) {
  const [now, setNow] = useState(engineNow);
  const opensAt = exam.available_from_at ?? now;
  const entersAt = opensAt - exam.lobby_minutes * MINUTE_MS;
  const next = exam.status === 'upcoming' ? entersAt : opensAt;
  const due = next <= now;

  useEffect(() => {
    const timer = setInterval(() => setNow(engineNow()), 1000);
    return () => clearInterval(timer);
  }, []);
  useEffect(() => {
    if (due) void reload();
  }, [due, reload]);

  if (due) return null;
  return (
    <p class="countdown" role="timer">
      {exam.status === 'upcoming' ? 'You can enter ' : 'Opens '}
      {next - now < DAY_MS ? (
        <>
          in <strong class="digits">{clock(next - now)}</strong>
        </>
      ) : (
        <>from {moment(next)}</>
      )}
    </p>
  );
}
