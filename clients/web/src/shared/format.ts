/** Times and numbers, as people read them. */

const MINUTE_MS = 60_000;

const two = (n: number) => String(n).padStart(2, '0');

/** Returns `1:05:09`, or `05:09` under an hour; seconds are rounded up, so that 0 is over. */
export function clock(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${two(m)}:${two(s)}`;
}

/** Returns a time for ears: `5 minutes`, `1 hour 20 minutes`. */
export function spoken(ms: number): string {
  const minutes = Math.round(ms / MINUTE_MS);
  const [h, m] = [Math.floor(minutes / 60), minutes % 60];
  return [h > 0 ? plural(h, 'hour') : '', m > 0 || h === 0 ? plural(m, 'minute') : '']
    .filter(Boolean)
    .join(' ');
}

/** Returns `1 question`, `3 questions`. */
export function plural(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

/** Returns an instant in the person's own zone and manner. */
export function moment(at: number): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' }).format(at);
}

/** Returns points without needless zeros. */
export function points(n: number): string {
  return String(Math.round(n * 100) / 100);
}

/** Counts words, in scripts without blanks too. */
export function wordCount(text: string): number {
  const segmenter = new Intl.Segmenter(undefined, { granularity: 'word' });
  let count = 0;
  for (const { isWordLike } of segmenter.segment(text)) if (isWordLike) count += 1;
  return count;
}
