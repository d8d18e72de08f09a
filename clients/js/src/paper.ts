/** Papers and answer values, as they come over HTTP, and the candidate's order of them. */

/** The ten types of questions. */
export type QuestionType =
  | 'single_choice'
  | 'multiple_choice'
  | 'true_false'
  | 'fill_blank'
  | 'short_answer'
  | 'essay'
  | 'coding'
  | 'matching'
  | 'ordering'
  | 'hotspot';

/** A program as an answer. */
export interface Program {
  language: string;
  source: string;
}

/** A point of a picture, in fractions of its width and height. */
export type Point = [x: number, y: number];

/** An answer's value; its form depends on the question's type, `null` is unanswered. */
export type Value = null | boolean | string | string[] | Point[] | Program | Record<string, string>;

/** An option, an item, or one side of a pair. `text` is Markdown with LaTeX. */
export interface Choice {
  id: string;
  text: string;
}

/** A question without its key. */
export interface Question {
  id: string;
  type: QuestionType;
  /** Markdown with LaTeX between `$`. */
  content: string;
  points: number;
  options?: Choice[];
  blanks?: number;
  languages?: string[];
  image?: string;
  multiple?: boolean;
  left?: Choice[];
  right?: Choice[];
  items?: Choice[];
}

/** A part of a paper. */
export interface Section {
  id: string;
  title: string;
  time_limit_ms?: number;
  questions: Question[];
}

/** A candidate's order of one section. */
export interface SectionOrder {
  section: string;
  questions: { q: string; options?: string[] }[];
}

/** A paper that can be read. */
export interface Paper {
  version: string;
  sections: Section[];
  order?: SectionOrder[];
}

/** A paper before the exam opens: AES-256-GCM, base64, the tag at the end of `data`. */
export interface SealedPaper {
  version: string;
  alg: 'A256GCM';
  nonce: string;
  data: string;
  order?: SectionOrder[];
}

/** The stored answer to a question. */
export interface StoredAnswer {
  value: Value;
  flagged: boolean;
  /** Counts the changes of `value`. */
  rev: number;
}

/** The stored answers of an attempt. */
export interface StoredAnswers {
  /** The session that owns the attempt; older engines do not name it. */
  session?: string;
  saved_seq: number;
  answers: Record<string, StoredAnswer>;
}

/** Puts sections, questions and options in the candidate's order. Ids that the order does
 * not name keep their place at the end, so that nothing of a paper can get lost. */
export function arrange(sections: Section[], order: SectionOrder[] | undefined): Section[] {
  if (!order) return sections;
  return byIds(
    sections,
    order.map((entry) => entry.section),
  ).map((section) => {
    const own = order.find((entry) => entry.section === section.id)?.questions ?? [];
    const questions = byIds(
      section.questions,
      own.map((entry) => entry.q),
    );
    return {
      ...section,
      questions: questions.map((question) =>
        arrangeChoices(question, own.find((entry) => entry.q === question.id)?.options ?? []),
      ),
    };
  });
}

function arrangeChoices(question: Question, ids: string[]): Question {
  if (ids.length === 0) return question;
  const arranged = { ...question };
  if (question.options) arranged.options = byIds(question.options, ids);
  if (question.right) arranged.right = byIds(question.right, ids);
  if (question.items) arranged.items = byIds(question.items, ids);
  return arranged;
}

function byIds<T extends { id: string }>(list: T[], ids: string[]): T[] {
  const place = new Map(ids.map((id, index) => [id, index]));
  const rank = (item: T) => place.get(item.id) ?? ids.length;
  return list.toSorted((a, b) => rank(a) - rank(b));
}

/** Returns whether two values are the same answer. */
export function sameValue(a: Value, b: Value): boolean {
  return JSON.stringify(canonical(a)) === JSON.stringify(canonical(b));
}

function canonical(value: Value): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** Returns whether a value is an answer; an empty text or an empty choice is not. */
export function isAnswered(value: Value): boolean {
  if (value === null) return false;
  if (typeof value === 'string') return value.trim() !== '';
  if (typeof value === 'boolean') return true;
  if (Array.isArray(value)) return value.some((entry) => entry.length > 0);
  if ('source' in value) return (value.source ?? '').trim() !== '';
  return Object.keys(value).length > 0;
}
