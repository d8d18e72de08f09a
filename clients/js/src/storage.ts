/** Unsaved work in the browser's storage, so that a crashed tab loses none. */

import type { State, Stored } from './state';

/** The part of the browser's `Storage` that is used. */
export type Shelf = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

const keyOf = (attemptId: string) => `invigil.outbox.${attemptId}`;

/** Claims the attempt for this tab. Tabs share the stored work and its session, so that a single
 * tab may go on; `onTaken` is called when a later tab claims the attempt. */
export function claim(shelf: Shelf, attemptId: string, onTaken: () => void): void {
  const key = `invigil.tab.${attemptId}`;
  try {
    shelf.setItem(key, String(Math.random()));
  } catch {
    // Without storage tabs share nothing.
  }
  addEventListener('storage', (event) => {
    if (event.key === key && event.newValue !== null) onTaken();
  });
}

/** Returns this browser's name, made once: the engine recognizes a device by it that several
 * candidates use. Undefined without storage: a new name for every visit would mislead. */
export function deviceOf(shelf: Shelf): string | undefined {
  const key = 'invigil.device';
  try {
    const known = shelf.getItem(key);
    if (known) return known;
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const name = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    shelf.setItem(key, name);
    return name;
  } catch {
    return undefined;
  }
}

/** Returns the part of a state that is stored. */
export function toStored(state: State): Stored {
  return {
    session: state.session,
    synced: state.synced,
    nextSeq: state.nextSeq,
    savedSeq: state.savedSeq,
    nextEvent: state.events.next,
    outbox: state.outbox.map(({ command, base, check, tried }) => ({
      command,
      base,
      check,
      tried,
    })),
    drafts: Object.fromEntries(
      Object.entries(state.drafts).map(([q, { value, base }]) => [q, { value, base }]),
    ),
    doubts: Object.fromEntries(
      Object.entries(state.doubts).map(([q, { value }]) => [q, { value }]),
    ),
    events: state.events.queue,
  };
}

/** Returns whether two states differ in their stored part, drafts aside. */
export function storedDiffers(a: State, b: State): boolean {
  return (
    a.session !== b.session ||
    a.synced !== b.synced ||
    a.nextSeq !== b.nextSeq ||
    a.savedSeq !== b.savedSeq ||
    a.outbox !== b.outbox ||
    a.doubts !== b.doubts ||
    a.events !== b.events
  );
}

/** Stores a state; a full or forbidden storage is no reason to stop an exam. */
export function keep(shelf: Shelf, state: State): void {
  try {
    shelf.setItem(keyOf(state.attemptId), JSON.stringify(toStored(state)));
  } catch {
    // The outbox in memory goes on.
  }
}

/** Returns the stored part of an attempt, if it can still be read. */
export function recall(shelf: Shelf, attemptId: string): Stored | null {
  try {
    const stored: unknown = JSON.parse(shelf.getItem(keyOf(attemptId)) ?? 'null');
    return isStored(stored) ? stored : null;
  } catch {
    return null;
  }
}

function isStored(value: unknown): value is Stored {
  if (typeof value !== 'object' || value === null) return false;
  const stored = value as Partial<Stored>;
  return (
    Array.isArray(stored.outbox) &&
    Array.isArray(stored.events) &&
    typeof stored.drafts === 'object' &&
    typeof stored.doubts === 'object' &&
    typeof stored.synced === 'boolean' &&
    [stored.nextSeq, stored.savedSeq, stored.nextEvent].every(Number.isSafeInteger)
  );
}

/** Removes the attempt from this browser. */
export function forget(shelf: Shelf, attemptId: string): void {
  try {
    shelf.removeItem(keyOf(attemptId));
  } catch {
    // Without storage there is nothing to remove.
  }
}
