import type { Page } from '@playwright/test';
import type { ExamPage } from './support/exam-page';
import { SUPERVISED } from './support/exams';
import { expect, test } from './support/test';

async function enter(page: Page, exam: ExamPage): Promise<void> {
  await exam.signIn();
  await page.getByRole('button', { name: `Start: ${SUPERVISED.title}` }).click();
  await page.getByLabel('Password', { exact: true }).fill(SUPERVISED.password);
  await page.keyboard.press('Enter');
  await exam.saved();
}

test('a message of a supervisor stays until it was read', async ({
  page,
  exam,
  supervisor,
  look,
}) => {
  await enter(page, exam);
  const command = await supervisor(SUPERVISED.code);
  await command('message', { text: 'Please put your phones away.', level: 'warning', ack: true });
  const message = page.getByText('Please put your phones away.');
  await expect(message).toBeVisible();
  await look('notice');
  await page.getByRole('button', { name: 'I have read this' }).click();
  await expect(message).toHaveCount(0);
});

test('a pause says why, and takes no answers until it ends', async ({
  page,
  exam,
  supervisor,
  look,
}) => {
  await enter(page, exam);
  const command = await supervisor(SUPERVISED.code);
  await command('pause', { reason: 'Fire drill.' });
  await expect(page.getByText('Fire drill.')).toBeVisible();
  await expect(exam.answer).toBeDisabled();
  await look('paused');
  await command('resume', { reason: 'All clear.' });
  await expect(exam.answer).toBeEnabled();
});

test('an extension is on the clock at once', async ({ page, exam, supervisor }) => {
  await enter(page, exam);
  const command = await supervisor(SUPERVISED.code);
  await command('extend', { ms: 3_600_000, reason: 'The drill.' });
  await expect(page.getByRole('timer')).toHaveText(/^1:2/);
});

test('a supervisor hands in for a candidate', async ({ page, exam, supervisor, look }) => {
  await enter(page, exam);
  const command = await supervisor(SUPERVISED.code);
  await command('submit', { reason: 'Everybody out.' });
  await expect(page.getByText('Your exam was handed in by your supervisor')).toBeVisible();
  await expect(page.getByText('The result will be under “My exams”')).toBeVisible();
  await look('handed-in-by-supervisor');
});
