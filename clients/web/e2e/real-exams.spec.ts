import type { Page } from '@playwright/test';
import { readExam, REAL_EXAM_FILES, REAL_EXAMS_MISSING, type ExamFile } from './support/exam-file';
import { expect, test } from './support/test';

/** Questions that get a right and a wrong answer. */
const RIGHT = 12;
const WRONG = 3;

/** Faults of the question that is shown, as its reader sees it. */
function faultsOfQuestion(): string[] {
  const article = document.querySelector('article.question');
  if (!article) return ['no question is shown'];
  const faults = [...article.querySelectorAll('.katex-error')].map(
    (broken) => broken.textContent ?? '',
  );
  for (const image of article.querySelectorAll('img')) {
    if (image.complete && image.naturalWidth === 0) faults.push(`no picture: ${image.src}`);
  }
  // A formula carries its source for screen readers, which is not shown.
  const shown = article.cloneNode(true) as Element;
  for (const formula of shown.querySelectorAll('.katex-mathml')) formula.remove();
  // Amounts of money stand between dollars too: only TeX is a fault.
  const raw = /\\[a-zA-Z]+|\$[^$]*[\^_{}\\][^$]*\$|\uFFFD/.exec(shown.textContent ?? '');
  if (raw) faults.push(`raw source: ${raw[0]}`);
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth > clientWidth) faults.push('wider than the window');
  return faults;
}

/** Answers the question that is shown, right or not. */
async function answer(page: Page, file: ExamFile, right: boolean): Promise<void> {
  const id = await page.locator('article.question input').first().getAttribute('name');
  const questions = file.sections.flatMap((section) => section.questions);
  const question = questions.find((other) => other.id === id);
  const option = question?.options.find((other) => (other.id === question.answer) === right);
  await page.locator(`article.question input[value="${option?.id}"]`).check({ force: true });
}

test.skip(REAL_EXAMS_MISSING !== null, REAL_EXAMS_MISSING ?? '');
for (const file of REAL_EXAM_FILES) {
  const name = file.slice(file.lastIndexOf('/') + 1, file.lastIndexOf('.'));
  test(`every question of ${name} can be read, and the exam is graded`, async ({
    candidate,
    startEngine,
    otherComputer,
    look,
  }) => {
    test.setTimeout(480_000);
    const content = readExam(file);
    const count = content.sections.flatMap(({ questions }) => questions).length;
    const engine = await startEngine({ exams: [file], people: [candidate] });
    const exam = await otherComputer(engine.url);
    const { page } = exam;
    await exam.signIn();
    await look('my-exams', exam);
    await exam.begin(content.title);
    const faults: string[] = [];
    for (let number = 1; number <= count; number += 1) {
      await expect(exam.heading(number)).toBeVisible();
      const found = await page.evaluate(faultsOfQuestion);
      faults.push(...found.map((fault) => `question ${number}: ${fault}`));
      if (number <= RIGHT + WRONG) await answer(page, content, number <= RIGHT);
      if (number % 50 === 3) await look(`question-${number}`, exam);
      await exam.next();
    }
    expect(faults).toEqual([]);
    await exam.saved();

    await exam.openHandInDialog();
    await expect(exam.dialog).toContainText(`${count - RIGHT - WRONG} questions not answered`);
    await look('hand-in', exam);
    await page.getByRole('button', { name: 'Hand in now' }).click();
    await expect(page.getByText('You handed in')).toBeVisible();
    await expect(page.locator('.score')).toHaveText(new RegExp(`^${RIGHT} of ${count} points`));
    await look('result', exam);
  });
}
