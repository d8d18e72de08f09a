/** Pictures that stand beside words, never alone: hidden from screen readers. */

const PATHS = {
  flag: 'M5 21V4m0 1c4-2 7 2 13 0v8c-6 2-9-2-13 0',
  check: 'M5 12.5l4.5 4.5L19 7',
  clock: 'M12 7v5l3 2M12 3a9 9 0 100 18 9 9 0 000-18z',
  cloud: 'M7 18a4 4 0 01-.6-7.95 6 6 0 0111.5 1.2A3.4 3.4 0 0117.5 18H7z',
  alert:
    'M12 8v5m0 3.2v.1M10.3 4.3L2.8 17.4A2 2 0 004.5 20.4h15a2 2 0 001.7-3L13.7 4.3a2 2 0 00-3.4 0z',
  left: 'M15 5l-7 7 7 7',
  right: 'M9 5l7 7-7 7',
  up: 'M5 15l7-7 7 7',
  down: 'M5 9l7 7 7-7',
  grip: 'M9 6h.01M9 12h.01M9 18h.01M15 6h.01M15 12h.01M15 18h.01',
  cross: 'M6 6l12 12M18 6L6 18',
  lock: 'M7 11V8a5 5 0 0110 0v3M6 11h12v9H6z',
  pause: 'M9 6v12M15 6v12',
  keyboard: 'M3 7h18v10H3zM7 10.5h.01M11 10.5h.01M15 10.5h.01M8 14h8',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
