import { ExamPage } from './support/exam-page';
import { expect, test } from './support/test';

test('what is done without a connection is saved when it is back', async ({
  page,
  exam,
  line,
  look,
}) => {
  await exam.start('All ten types');
  await exam.goTo(5);
  line.cut();
  await exam.offline();
  await exam.answer.fill('CO2');
  await exam.next();
  await page.keyboard.press('Alt+Shift+F');
  await exam.unsaved();
  await expect(page.locator('[data-save]')).toContainText(/not saved yet/i);
  await look('offline');
  line.mend();
  await exam.saved();
  expect(await exam.stored('q5')).toMatchObject({ value: 'CO2' });
  expect(await exam.stored('q6')).toMatchObject({ flagged: true });
});

test('answers are saved where the network refuses sockets', async ({ exam, line }) => {
  await exam.start('All ten types');
  await exam.goTo(5);
  line.refuseSockets();
  await exam.answer.fill('carbon dioxide');
  await exam.saved();
  expect(await exam.stored('q5')).toMatchObject({ value: 'carbon dioxide' });
});

test('an answer too long for a frame is saved, and so is the next one', async ({ exam }) => {
  const long = 'Eine Brücke dehnt sich. 桥。 '.repeat(1000);
  await exam.start('All ten types');
  await exam.goTo(6);
  await exam.answer.fill(long);
  await exam.saved();
  expect(await exam.stored('q6')).toMatchObject({ value: long });
  await exam.answer.fill('Heat makes a bridge longer. 热胀冷缩。');
  await exam.saved();
  expect(await exam.stored('q6')).toMatchObject({
    value: 'Heat makes a bridge longer. 热胀冷缩。',
  });
});

test('an answer that never left a tab outlives it', async ({ page, context, exam, line }) => {
  await exam.start('All ten types');
  await exam.goTo(5);
  line.cut();
  await exam.offline();
  await exam.answer.fill('CO₂');
  await exam.unsaved();
  const kept = `invigil.outbox.${await exam.attemptId()}`;
  await page.waitForFunction((key) => localStorage.getItem(key)?.includes('CO₂'), kept);
  await page.close({ runBeforeUnload: false });
  line.mend();

  const next = new ExamPage(await context.newPage(), exam.candidate);
  await next.page.goto('/');
  await next.continue('All ten types');
  expect(await next.stored('q5')).toMatchObject({ value: 'CO₂' });
});
