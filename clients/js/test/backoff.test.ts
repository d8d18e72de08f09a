import { expect, test } from 'vitest';
import { isOver, mayReconnect } from '../src/codes';
import { BACKOFF_FIRST_MS, BACKOFF_MAX_MS, jitter } from '../src/connection';

test('waits grow up to the ceiling, with full jitter', () => {
  expect(jitter(0, 0)).toBe(0);
  expect(jitter(0, 0.999)).toBeLessThanOrEqual(BACKOFF_FIRST_MS);
  expect(jitter(30, 0.999)).toBeLessThanOrEqual(BACKOFF_MAX_MS);
  expect(jitter(30, 0.999)).toBeGreaterThan(jitter(2, 0.999));
});

test('a client stays away from 4500 on, and after the end', () => {
  expect([1001, 1006, 1011, 4408, 4431].map(mayReconnect)).not.toContain(false);
  expect([4500, 4501, 4503, 4509, 4510].map(mayReconnect)).not.toContain(true);
});

test('an attempt is over once nothing can change', () => {
  expect(isOver('in_progress')).toBe(false);
  expect(isOver('paused')).toBe(false);
  expect(isOver('graded')).toBe(true);
  expect(isOver('cancelled')).toBe(true);
});
