/** Delays between two tries of the same way to the engine. */

/** First delay at most, and ceiling, of the back-off. */
export const BACKOFF_FIRST_MS = 500;
export const BACKOFF_MAX_MS = 20_000;

/** Returns an exponential back-off with full jitter. */
export function jitter(failures: number, random: number): number {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.max(0, failures - 1));
  return Math.round(random * ceiling);
}
