import type { Attempt, State } from 'invigil-js';
import { useEffect, useState } from 'preact/hooks';

/** Returns the attempt's state, and draws again when it changes. */
export function useAttemptState(attempt: Attempt): State {
  const [state, setState] = useState(attempt.state);
  useEffect(() => {
    setState(attempt.state);
    return attempt.subscribe(() => setState(attempt.state));
  }, [attempt]);
  return state;
}

/** Returns the monotonic clock, and draws again `everyMs`. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  // A drawing in between, for another reason, is as fresh.
  return Math.max(now, performance.now());
}
