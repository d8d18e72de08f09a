import { useEffect, useRef, useState } from 'preact/hooks';
import * as api from '../shared/api';
import { rememberUser } from '../shared/session';

const WORDS: Record<string, string> = {
  unreachable: 'The server cannot be reached. Check your connection and try again.',
};

function explain(problem: api.Problem): string {
  if (problem.status === 401) return 'That name and access code do not belong together.';
  if (problem.status === 429) {
    return 'Too many attempts. Wait a few minutes and try again, or ask your supervisor.';
  }
  return WORDS[problem.code] ?? (problem.message || 'Signing in did not work. Try again.');
}

export function SignIn({ onDone }: { onDone: () => void }) {
  const [id, setId] = useState('');
  const [code, setCode] = useState('');
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);
  const first = useRef<HTMLInputElement>(null);
  const second = useRef<HTMLInputElement>(null);

  useEffect(() => {
    document.title = 'Sign in · Invigil';
    first.current?.focus();
  }, []);

  const signIn = async (event: Event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError('');
    try {
      const { user } = await api.login(id.trim(), code.trim());
      rememberUser(user);
      onDone();
    } catch (problem) {
      if (!(problem instanceof api.Problem)) throw problem;
      setError(explain(problem));
      second.current?.select();
    } finally {
      setBusy(false);
    }
  };

  return (
    <form class="card sign-in" onSubmit={(event) => void signIn(event)} aria-busy={busy}>
      <h1>Sign in</h1>
      <p class="muted">Your name and access code are on your admission slip.</p>
      {error && (
        <p id="sign-in-error" role="alert" class="note note-bad">
          {error}
        </p>
      )}
      <label for="id">Candidate number or name</label>
      <input
        id="id"
        ref={first}
        name="username"
        autocomplete="username"
        autocapitalize="none"
        spellcheck={false}
        required
        value={id}
        aria-describedby={error ? 'sign-in-error' : undefined}
        onInput={(event) => setId(event.currentTarget.value)}
      />
      <label for="code">Access code</label>
      <input
        id="code"
        ref={second}
        name="code"
        type="password"
        autocomplete="off"
        required
        value={code}
        aria-describedby={error ? 'sign-in-error' : undefined}
        onInput={(event) => setCode(event.currentTarget.value)}
      />
      <button class="primary" type="submit" disabled={busy}>
        {busy ? 'Signing in …' : 'Sign in'}
      </button>
    </form>
  );
}
