import { readFileSync } from 'node:fs';
import type { Value } from 'invigil-js';
import { QUESTIONS } from './support/questions';
import { answerElsewhere } from './support/rest';
import { expect, test } from './support/test';

const ALL = QUESTIONS.map(({ q, stored }): [string, Value] => [q, stored]);

test('the dialog to hand in names what is not done', async ({
  page,
  engine,
  exam,
  candidate,
  look,
}) => {
  await answerElsewhere(engine.url, candidate, 'DEMO-ALL', ALL);
  await exam.signIn();
  await exam.continue('All ten types');
  await exam.goTo(6);
  await page.getByRole('button', { name: 'Flag for review' }).click();
  await exam.goTo(1);
  await page.getByRole('button', { name: 'Clear the answer' }).click();
  await exam.openHandInDialog();
  await expect(exam.dialog).toContainText('1 question not answered');
  await expect(exam.dialog).toContainText('1 question flagged for review');
  await look('hand-in-dialog');
  await page.keyboard.press('Escape');
  await expect(exam.dialog).toBeHidden();
});

test('a whole exam is handed in and graded', async ({ page, engine, exam, candidate, look }) => {
  await answerElsewhere(engine.url, candidate, 'DEMO-ALL', ALL);
  await exam.signIn();
  await exam.continue('All ten types');
  await exam.openHandInDialog();
  await expect(exam.dialog).toContainText('You answered all 10 questions.');
  await page.getByRole('button', { name: 'Hand in now' }).click();
  await expect(page.getByText('You handed in')).toBeVisible();
  // Essay and program wait for a person; everything else was right.
  await expect(page.locator('.score')).toHaveText('19 of 30 points so far');
  await look('result');
});

test('the receipt of a hand-in is signed', async ({ page, exam }) => {
  await exam.start('All ten types');
  await exam.handIn();
  const download = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download the receipt' }).click();
  const receipt = readFileSync(await (await download).path(), 'utf8');
  expect(receipt).toContain('signature');
});

test('an exam with attempts left can be started again', async ({ page, exam }) => {
  await exam.start('All ten types');
  await exam.handIn();
  await page.goto('/');
  await exam.begin('All ten types');
  await expect(exam.heading(1)).toBeVisible();
});

test('a result can be looked at later', async ({ page, exam, look }) => {
  await exam.start('All ten types');
  await exam.handIn();
  await page.getByRole('link', { name: /My exams/ }).click();
  await page.getByRole('link', { name: /See the result/ }).click();
  await expect(page.locator('.score')).toBeVisible();
  await expect(page.locator('.result-questions > li')).toHaveCount(QUESTIONS.length);
  await look('result-later');
});
