import { expect, test } from './support/test';

test('an exam fits on a telephone', async ({ page, exam, look }) => {
  await exam.start('All ten types');
  await page.setViewportSize({ width: 390, height: 800 });
  await page.reload();
  await exam.saved();
  await expect(exam.heading(1)).toBeVisible();
  await look('telephone');
  const excess = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return scrollWidth - clientWidth;
  });
  expect(excess, 'pixels that stick out').toBeLessThanOrEqual(0);
});

test('an exam can be read in the dark', async ({ page, exam, look }) => {
  await page.emulateMedia({ colorScheme: 'dark' });
  await exam.start('All ten types');
  await expect(exam.heading(1)).toBeVisible();
  await look('dark');
});

test('the description of the interface can be read', async ({ page }, info) => {
  // Under the same content security policy as everything.
  await page.goto('/api/docs/');
  await expect(page.getByText('/api/v1/login').first()).toBeVisible();
  await page.screenshot({ path: info.outputPath('api-docs.png') });
});
