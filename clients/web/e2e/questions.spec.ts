import { QUESTIONS, rounded } from './support/questions';
import { expect, test } from './support/test';

for (const [index, { q, type, answer, stored }] of QUESTIONS.entries()) {
  test(`an answer of the type ${type} is saved`, async ({ page, exam, look }) => {
    await exam.start('All ten types');
    await exam.goTo(index + 1);
    await answer(page);
    await exam.saved();
    await expect(page.locator('[data-question-save=saved]')).toBeVisible();
    expect(rounded((await exam.stored(q))?.value)).toEqual(stored);
    await look(`question-${type}`);
  });
}

test('the keyboard leads from question to question', async ({ exam }) => {
  await exam.start('All ten types');
  for (let number = 1; number <= QUESTIONS.length; number += 1) {
    await expect(exam.heading(number)).toBeVisible();
    await exam.next();
  }
  await expect(exam.heading(QUESTIONS.length)).toBeVisible();
});
