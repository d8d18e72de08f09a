/** Small exams, each with rules that change the page. */

const question = (id: string, content: string) => ({
  id,
  type: 'short_answer',
  content,
  points: 1,
  answer: ['yes'],
});

const wholeExam = [{ id: 's', title: 'All of it', questions: [question('q1', 'Is it so?')] }];

/** An exam behind a password, whose result is not shown at once. */
export const SUPERVISED = {
  code: 'RULES',
  title: 'Supervised exam',
  type: 'midterm',
  duration_minutes: 30,
  password: 'open-sesame',
  show_results_immediately: false,
  sections: wholeExam,
};

/** An exam of one question, without rules. */
export const PLAIN = {
  code: 'PLAIN',
  title: 'Plain exam',
  type: 'quiz',
  duration_minutes: 30,
  sections: wholeExam,
};

/** An exam of two parts, each with a time limit. */
export const PARTS = {
  code: 'PARTS',
  title: 'Two parts',
  type: 'final',
  instructions: 'Read **every** question to its end.',
  duration_minutes: 30,
  shuffle_questions: false,
  sections: [
    {
      id: 'a',
      title: 'First part',
      time_limit_minutes: 10,
      questions: [question('a1', 'The first part runs.')],
    },
    {
      id: 'b',
      title: 'Second part',
      time_limit_minutes: 10,
      questions: [question('b1', 'The second part waits.')],
    },
  ],
};

/** Returns the exam of two parts with a waiting room, open so long from this moment. */
export const lobby = (opensInMs: number) => ({
  ...PARTS,
  code: 'LOBBY',
  title: 'Waiting room',
  available_from: new Date(Date.now() + opensInMs).toISOString(),
});
