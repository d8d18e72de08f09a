import { expect, test } from './support/test';

test('a candidate signs in with the keyboard alone', async ({ page, candidate, look }) => {
  await page.goto('/');
  await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible();
  await expect(page.getByLabel('Candidate number or name')).toBeFocused();
  await look('sign-in');
  await page.keyboard.type(candidate.id);
  await page.keyboard.press('Tab');
  await page.keyboard.type(candidate.code);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'My exams' })).toBeVisible();
  await look('my-exams');
});

test('a wrong access code is refused in words', async ({ page, candidate, look }) => {
  await page.goto('/');
  await page.getByLabel('Candidate number or name').fill(candidate.id);
  await page.getByLabel('Access code').fill('not-the-code');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('alert')).toContainText('do not belong together');
  await look('sign-in-refused');
  await page.getByLabel('Access code').fill(candidate.code);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'My exams' })).toBeVisible();
});

test('the people of the demo can take its exams', async ({ startEngine, otherComputer }) => {
  const engine = await startEngine('demo');
  const ben = { id: 'ben', name: 'Ben Demo', role: 'candidate', code: 'banana-2' } as const;
  const exam = await otherComputer(engine.url, ben);
  await exam.start('All ten types');
  await expect(exam.heading(1)).toBeVisible();
});

test('an exam with a password opens with it alone', async ({ page, exam, look }) => {
  await exam.signIn();
  await page.getByRole('button', { name: 'Start: Supervised exam' }).click();
  const password = page.getByLabel('Password', { exact: true });
  await password.fill('sesame');
  await page.keyboard.press('Enter');
  await expect(page.getByText('That password is not right.')).toBeVisible();
  await look('password');
  await password.fill('open-sesame');
  await page.keyboard.press('Enter');
  await exam.answer.fill('yes');
  await exam.saved();
});
