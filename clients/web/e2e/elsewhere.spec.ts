import { ExamPage } from './support/exam-page';
import { expect, test } from './support/test';

test('an exam goes on in one tab at a time', async ({ page, context, exam, look }) => {
  await exam.start('All ten types');
  const other = new ExamPage(await context.newPage(), exam.candidate);
  await other.page.goto('/');
  await other.continue('All ten types');
  await exam.openedElsewhere();
  await look('opened-elsewhere');

  await page.getByRole('button', { name: 'Continue here instead' }).click();
  await exam.saved();
  await other.openedElsewhere();
});

test('an answer that two computers changed is for the person to choose', async ({
  page,
  engine,
  otherComputer,
  exam,
  line,
  look,
}) => {
  await exam.start('Plain exam');
  await exam.answer.fill('first');
  await exam.saved();
  line.cut();
  await exam.offline();
  await exam.answer.fill('written here');
  await exam.unsaved();

  await test.step('another computer answers meanwhile', async () => {
    const other = await otherComputer(engine.url);
    await other.signIn();
    await other.continue('Plain exam');
    await expect(other.answer).toHaveValue('first');
    await other.answer.fill('written there');
    await other.saved();
    await other.page.close();
  });

  line.mend();
  // By a socket this computer simply goes on; by a request it is told first that the other
  // one has the exam. The order in which the two come through is chance.
  const conflict = page.getByRole('heading', { name: 'This answer was changed elsewhere' });
  const takeBack = page.getByRole('button', { name: 'Continue here instead' });
  await expect(conflict.or(takeBack)).toBeVisible();
  if (await takeBack.isVisible()) await takeBack.click();
  await expect(conflict).toBeVisible();
  await expect(page.getByText('written there')).toBeVisible();
  await expect(exam.answer).toBeDisabled();
  await look('conflict');

  await page.getByRole('button', { name: 'Use this one' }).click();
  await exam.saved();
  await expect(exam.answer).toHaveValue('written here');
  await page.reload();
  await expect(exam.answer).toHaveValue('written here');
});
