import { useEffect, useState } from 'preact/hooks';
import { isOver } from 'invigil-js';
import * as api from '../shared/api';
import { moment, plural } from '../shared/format';
import { takeSeat } from '../shared/session';
import { Countdown } from './countdown';
import { PasswordDialog } from './password-dialog';

/** Windows open and results come while the page lies open. */
const RELOAD_MS = 60_000;

const STATUS_WORDS: Record<api.Exam['status'], string> = {
  upcoming: 'Not open yet',
  lobby: 'Opens soon',
  open: 'Open',
  closed: 'Closed',
};

const TYPE_WORDS: Record<string, string> = {
  quiz: 'Quiz',
  assignment: 'Assignment',
  midterm: 'Midterm',
  final: 'Final exam',
  certification: 'Certification',
  practice: 'Practice',
};

const REFUSAL_WORDS: Record<string, string> = {
  not_open: 'This exam is not open yet.',
  closed: 'This exam is closed.',
  no_attempts_left: 'You have no attempts left.',
  wrong_password: 'That password is not right.',
  address_not_allowed: 'This exam cannot be taken from this computer or network.',
  not_enrolled: 'You are not enrolled in this exam.',
  another_device: 'It is open on another device. Ask your supervisor to release it.',
  unreachable: 'The server cannot be reached. Check your connection and try again.',
};

interface Props {
  exams: api.Exam[];
  user: api.User | null;
  reload: () => Promise<void>;
}

export function ExamList({ exams, user, reload }: Props) {
  useEffect(() => {
    document.title = 'My exams · Invigil';
    const timer = setInterval(() => void reload(), RELOAD_MS);
    const onVisible = () => document.visibilityState === 'visible' && void reload();
    document.addEventListener('visibilitychange', onVisible);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', onVisible);
    };
  }, [reload]);

  const staff = user !== null && !user.roles.includes('candidate');
  return (
    <>
      <h1>{staff ? 'Exams' : 'My exams'}</h1>
      {exams.length === 0 && <p class="muted">There is no exam for you at the moment.</p>}
      <ul class="exams">
        {exams.map((exam) => (
          <li key={exam.code}>
            <ExamCard exam={exam} user={user} reload={reload} />
          </li>
        ))}
      </ul>
    </>
  );
}

function ExamCard({ exam, user, reload }: { exam: api.Exam } & Omit<Props, 'exams'>) {
  const live = exam.attempts.find(({ status }) => !isOver(status));
  const over = exam.attempts.filter(({ status }) => isOver(status));
  const teacher = user?.roles.some((role) => role === 'teacher' || role === 'admin');
  const staff = user !== null && !user.roles.includes('candidate');
  return (
    <article class="card exam" aria-labelledby={`exam-${exam.code}`}>
      <div class="exam-head">
        <h2 id={`exam-${exam.code}`}>{exam.title}</h2>
        <span class={`badge badge-${live ? 'live' : exam.status}`}>
          {live ? 'In progress' : STATUS_WORDS[exam.status]}
        </span>
      </div>
      <Facts exam={exam} />
      {exam.status === 'upcoming' || exam.status === 'lobby' ? (
        <Countdown exam={exam} reload={reload} />
      ) : null}
      {!staff && <StartButton exam={exam} live={live} used={exam.attempts.length} />}
      {teacher && (
        <a class="button" href={api.resultsCsvUrl(exam.code)} download={`${exam.code}.csv`}>
          Results as a table
        </a>
      )}
      {over.length > 0 && (
        <ul class="attempts" aria-label="Finished attempts">
          {over.map((attempt) => (
            <FinishedAttempt key={attempt.id} attempt={attempt} />
          ))}
        </ul>
      )}
    </article>
  );
}

function Facts({ exam }: { exam: api.Exam }) {
  const { available_from_at: from, available_until_at: until } = exam;
  return (
    <dl class="facts">
      <div>
        <dt>Kind</dt>
        <dd>{TYPE_WORDS[exam.type] ?? exam.type}</dd>
      </div>
      <div>
        <dt>Time</dt>
        <dd>{plural(exam.duration_minutes, 'minute')}</dd>
      </div>
      {from != null && (
        <div>
          <dt>Opens</dt>
          <dd>{moment(from)}</dd>
        </div>
      )}
      {until != null && (
        <div>
          <dt>Closes</dt>
          <dd>{moment(until)}</dd>
        </div>
      )}
      <div>
        <dt>Attempts</dt>
        <dd>
          {exam.attempts.length} of {exam.max_attempts} used
        </dd>
      </div>
    </dl>
  );
}

interface StartProps {
  exam: api.Exam;
  live: api.OwnAttempt | undefined;
  used: number;
}

function StartButton({ exam, live, used }: StartProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const [asking, setAsking] = useState(false);
  const enterable = exam.status === 'open' || exam.status === 'lobby';
  if (!live && (!enterable || used >= exam.max_attempts)) return null;

  const enter = async (password: string | null) => {
    setBusy(true);
    setError('');
    try {
      const { attempt, token } = await api.start(exam.code, password);
      takeSeat({ attempt, token, exam: { code: exam.code, title: exam.title } });
      location.assign('/attempt');
    } catch (problem) {
      if (!(problem instanceof api.Problem)) throw problem;
      setBusy(false);
      setError(REFUSAL_WORDS[problem.code] ?? (problem.message || 'Starting did not work.'));
    }
  };

  const label = live ? 'Continue' : exam.status === 'lobby' ? 'Enter the waiting room' : 'Start';
  const needsPassword = exam.password_required && !live;
  return (
    <div class="start">
      <button
        class="primary"
        disabled={busy}
        aria-label={`${label}: ${exam.title}`}
        onClick={() => (needsPassword ? setAsking(true) : void enter(null))}
      >
        {busy ? 'One moment …' : label}
      </button>
      {error && !asking && (
        <p role="alert" class="note note-bad">
          {error}
        </p>
      )}
      {asking && (
        <PasswordDialog
          title={exam.title}
          busy={busy}
          error={error}
          onEnter={(password) => void enter(password)}
          onClose={() => setAsking(false)}
        />
      )}
    </div>
  );
}

function FinishedAttempt({ attempt }: { attempt: api.OwnAttempt }) {
  const cancelled = attempt.status === 'cancelled';
  return (
    <li>
      <span>
        Attempt {attempt.number} · {cancelled ? 'cancelled' : 'handed in'}{' '}
        {attempt.submitted_at != null && moment(attempt.submitted_at)}
      </span>
      {attempt.result_available ? (
        <a href={`#result/${attempt.id}`}>
          See the result<span class="visually-hidden"> of attempt {attempt.number}</span>
        </a>
      ) : (
        !cancelled && <span class="muted">The result is not out yet</span>
      )}
    </li>
  );
}
