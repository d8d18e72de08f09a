import { useCallback, useEffect, useState } from 'preact/hooks';
import * as api from '../shared/api';
import { BrandBar } from '../shared/brand';
import { forgetUser, rememberedUser } from '../shared/session';
import { ExamList } from './exam-list';
import { ResultPage } from './result-page';
import { SignIn } from './sign-in';

type View =
  | { kind: 'loading' }
  | { kind: 'sign_in' }
  | { kind: 'exams'; exams: api.Exam[] }
  | { kind: 'failed'; detail: string };

/** `#result/<attempt>` shows a result. */
function attemptInHash(): string | null {
  return /^#result\/(.+)$/.exec(location.hash)?.[1] ?? null;
}

export function Home() {
  const [view, setView] = useState<View>({ kind: 'loading' });
  const [shown, setShown] = useState(attemptInHash);

  const load = useCallback(async () => {
    try {
      const { exams } = await api.exams();
      setView({ kind: 'exams', exams });
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      if (error.status === 401) setView({ kind: 'sign_in' });
      // A list on screen is worth more than an error in its place.
      else
        setView((now) => (now.kind === 'exams' ? now : { kind: 'failed', detail: error.message }));
    }
  }, []);

  useEffect(() => {
    void load();
    const onHash = () => setShown(attemptInHash());
    addEventListener('hashchange', onHash);
    return () => removeEventListener('hashchange', onHash);
  }, [load]);

  const signOut = async () => {
    await api.logout().catch(() => undefined);
    forgetUser();
    location.hash = '';
    setView({ kind: 'sign_in' });
  };

  const user = rememberedUser();
  return (
    <>
      <BrandBar>
        {view.kind === 'exams' && (
          <div class="bar-end">
            {user && <span class="muted">{user.name}</span>}
            <button class="quiet" onClick={() => void signOut()}>
              Sign out
            </button>
          </div>
        )}
      </BrandBar>
      <main class="page">
        {view.kind === 'loading' && <p role="status">Loading …</p>}
        {view.kind === 'failed' && (
          <div role="alert" class="note note-bad">
            <p>{view.detail || 'Something went wrong.'}</p>
            <button onClick={() => void load()}>Try again</button>
          </div>
        )}
        {view.kind === 'sign_in' && <SignIn onDone={() => void load()} />}
        {view.kind === 'exams' &&
          (shown ? (
            <ResultPage attempt={shown} exams={view.exams} />
          ) : (
            <ExamList exams={view.exams} user={user} reload={load} />
          ))}
      </main>
    </>
  );
}
