/** Runs once before all tests: says which of them will not run, and why. */

import { appendFileSync } from 'node:fs';
import { REAL_EXAMS_MISSING } from './exam-file';

export default function announceSkipped(): void {
  if (REAL_EXAMS_MISSING === null) return;
  console.log(`SKIPPED: real exams in a browser: ${REAL_EXAMS_MISSING}`);
  // `scripts/test.sh` shows this list at its end.
  const list = process.env['INVIGIL_SKIPPED'];
  if (list) appendFileSync(list, `real exams in a browser: ${REAL_EXAMS_MISSING}\n`);
}
