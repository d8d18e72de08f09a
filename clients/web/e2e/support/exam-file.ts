/** Real exams, which lie beside the repository and not in it: `EXAMS` names their folder. */

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const REAL_EXAMS =
  process.env['EXAMS'] ??
  fileURLToPath(new URL('../../../../../shared/data/exams', import.meta.url));

/** The part of an exam file that a test reads. */
export interface ExamFile {
  code: string;
  title: string;
  sections: { questions: { id: string; options: { id: string }[]; answer: string }[] }[];
}

/** Files of choice questions: 230 in Chinese, 220 with formulas. */
export const REAL_EXAM_FILES = ['gaokao-history.json', 'sat-math.json'].map((name) =>
  path.join(REAL_EXAMS, name),
);

/** The reason why the real exams cannot be taken here; null where they can. */
export const REAL_EXAMS_MISSING = REAL_EXAM_FILES.every((file) => existsSync(file))
  ? null
  : `there are no exams in ${REAL_EXAMS}`;

export function readExam(file: string): ExamFile {
  return JSON.parse(readFileSync(file, 'utf8')) as ExamFile;
}
