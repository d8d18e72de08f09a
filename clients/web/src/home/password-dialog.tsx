import { useState } from 'preact/hooks';
import { Dialog } from '../shared/dialog';

interface Props {
  title: string;
  busy: boolean;
  error: string;
  onEnter: (password: string) => void;
  onClose: () => void;
}

export function PasswordDialog({ title, busy, error, onEnter, onClose }: Props) {
  const [password, setPassword] = useState('');
  const enter = (event: Event) => {
    event.preventDefault();
    onEnter(password);
  };
  return (
    <Dialog title="Exam password" onClose={onClose}>
      <form onSubmit={enter}>
        <p>“{title}” asks for a password. Your supervisor will tell you.</p>
        {error && (
          <p role="alert" class="note note-bad" id="password-error">
            {error}
          </p>
        )}
        <label for="password">Password</label>
        <input
          id="password"
          type="password"
          autocomplete="off"
          required
          autofocus
          value={password}
          aria-describedby={error ? 'password-error' : undefined}
          onInput={(event) => setPassword(event.currentTarget.value)}
        />
        <div class="dialog-buttons">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button class="primary" type="submit" disabled={busy}>
            Start
          </button>
        </div>
      </form>
    </Dialog>
  );
}
