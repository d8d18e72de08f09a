import { describe, expect, it } from 'vitest';
import { clock, plural, points, spoken, wordCount } from '../src/shared/format';

describe('times', () => {
  it.each([
    [0, '00:00'],
    [1, '00:01'],
    [59_000, '00:59'],
    [59_001, '01:00'],
    [3_600_000, '1:00:00'],
    [5_025_000, '1:23:45'],
  ])('%i ms are %s', (ms, text) => expect(clock(ms)).toBe(text));

  it.each([
    [60_000, '1 minute'],
    [300_000, '5 minutes'],
    [4_800_000, '1 hour 20 minutes'],
    [7_200_000, '2 hours'],
  ])('%i ms are said as %s', (ms, text) => expect(spoken(ms)).toBe(text));
});

describe('numbers', () => {
  it('have no needless zeros', () => {
    expect([points(2), points(2.5), points(1 / 3)]).toEqual(['2', '2.5', '0.33']);
  });

  it('agree with their noun', () => {
    expect([plural(1, 'point'), plural(0, 'point')]).toEqual(['1 point', '0 points']);
  });
});

describe('words', () => {
  it('are counted in every script', () => {
    expect(wordCount('Why do bridges have gaps?')).toBe(5);
    expect(wordCount('为什么有缝隙')).toBeGreaterThan(2);
    expect(wordCount(' \n')).toBe(0);
  });
});
