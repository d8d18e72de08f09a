import type { Attempt, State } from 'invigil-js';
import { useEffect, useState } from 'preact/hooks';

/** The attempt's state; draws again when it changes. */
export function useAttemptState(attempt: Attempt): State {
  const [state, setState] = useState(attempt.state);
  useEffect(() => {
    setState(attempt.state);
    return attempt.subscribe(() => setState(attempt.state));
  }, [attempt]);
  return state;
}

/** The monotonic clock; draws again `everyMs`. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  // What is drawn in between, for another reason, is to be as fresh.
  return Math.max(now, performance.now());
}
