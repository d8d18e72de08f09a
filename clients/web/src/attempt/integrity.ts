/** Reports events around the page to the engine. The exam's rules judge them; without rules
 * nothing follows. */

import { unsavedQuestions, type Attempt } from 'invigil-js';

/** The length of a copied or pasted text, which alone leaves the page. */
const length = (text: string | undefined) => ({ chars: text?.length ?? 0 });
const selected = () => length(getSelection()?.toString());

export function watchPage(attempt: Attempt): void {
  const over = () => attempt.state.status !== 'in_progress';
  const report: Attempt['observe'] = (kind, data) => {
    if (!over()) attempt.observe(kind, data);
  };

  addEventListener('blur', () => report('focus_lost'));
  addEventListener('focus', () => report('focus_gained'));
  document.addEventListener('visibilitychange', () => {
    const hidden = document.visibilityState === 'hidden';
    report(hidden ? 'page_hidden' : 'page_visible');
    if (hidden) attempt.flush();
  });
  document.addEventListener('fullscreenchange', () => {
    if (!document.fullscreenElement) report('fullscreen_exit');
  });
  document.addEventListener('copy', () => report('copy', selected()));
  document.addEventListener('cut', () => report('cut', selected()));
  document.addEventListener('paste', (event) =>
    report('paste', length(event.clipboardData?.getData('text'))),
  );
  document.addEventListener('contextmenu', () => report('context_menu'));
  addEventListener('beforeprint', () => report('print'));

  addEventListener('online', () => attempt.network(true));
  addEventListener('offline', () => attempt.network(false));
  addEventListener('pagehide', () => attempt.keepNow());
  addEventListener('beforeunload', (event) => {
    if (!over() && unsavedQuestions(attempt.state).length > 0) event.preventDefault();
  });
}
