/** The session, which owns the numbers of commands and events. */

import { loadMissing } from './loading';
import { renumber } from './outbox';
import { renumberEvents } from './signals';
import type { Turn } from './state';

/** Begins a session that counts from nothing. */
export function beginSession(t: Turn, session: string): void {
  const { s } = t;
  s.session = session;
  s.savedSeq = 0;
  s.synced = false;
  renumber(t);
  renumberEvents(t);
  loadMissing(t);
}
