/**
 * Takes the demonstration exam in Chromium, as a person would: signs in, answers all ten
 * types with mouse and keyboard, loses the network and gets it back, flags, hands in, and
 * reads the result. Starts the program of INVIGIL_BIN itself, unless BASE_URL names one
 * that runs. Writes screenshots to SHOTS, where it is set.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const shots = process.env.SHOTS;
if (shots) mkdirSync(shots, { recursive: true });

/** Starts the engine on its sample exams. */
async function start() {
  if (process.env.BASE_URL) return { url: process.env.BASE_URL, stop() {} };
  const data = mkdtempSync(join(tmpdir(), 'invigil-e2e-'));
  const program = spawn(
    process.env.INVIGIL_BIN ?? '../../target/debug/invigil',
    ['demo', '--listen', '127.0.0.1:0', '--data', data],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const stop = () => {
    program.kill();
    rmSync(data, { recursive: true, force: true });
  };
  for await (const line of createInterface({ input: program.stdout })) {
    const address = /^listening on (.*)$/.exec(line)?.[1];
    if (address) return { url: `http://${address}`, stop };
  }
  throw new Error('the engine did not start');
}

const engine = await start();
const browser = await chromium.launch({
  executablePath: process.env.INVIGIL_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});

try {
  const context = await browser.newContext({ viewport: { width: 1200, height: 850 } });
  const page = await context.newPage();
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.setDefaultTimeout(20_000);
  const shot = (name) => (shots ? page.screenshot({ path: join(shots, `${name}.png`) }) : null);

  await page.goto(engine.url);
  await shot('01-sign-in');
  await page.getByLabel(/id/i).first().fill('ben');
  await page.getByLabel(/code/i).first().fill('wrong');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').first().waitFor();
  await page.getByLabel(/code/i).first().fill('banana-2');
  await page.keyboard.press('Enter');
  const card = page.getByRole('article').filter({ hasText: '十种题型' });
  await card.waitFor();
  await shot('02-my-exams');
  await card.getByRole('button', { name: /start/i }).click();
  await page.waitForURL(/\/attempt/);
  await page.getByRole('navigation').first().waitFor();

  const answers = {
    async single_choice() {
      await page.getByRole('radio').nth(1).check();
    },
    async multiple_choice() {
      await page.getByRole('checkbox').nth(0).check();
      await page.getByRole('checkbox').nth(2).focus();
      await page.keyboard.press('Space');
    },
    async true_false() {
      await page.getByRole('radio').first().focus();
      await page.keyboard.press('Space');
    },
  };
  for (let index = 1; index <= 10; index += 1) {
    await page.waitForTimeout(150);
    await answerWhatIsThere(page, answers);
    await shot(`1${String(index - 1)}-question-${String(index)}`);
    if (index === 5) {
      await context.setOffline(true);
      await page.waitForTimeout(1_500);
      await shot('21-offline');
      await context.setOffline(false);
    }
    const next = page.getByRole('button', { name: /next/i });
    if (index < 10) await next.first().click();
  }
  await page
    .getByRole('button', { name: /hand in/i })
    .first()
    .click();
  await page.getByRole('dialog').waitFor();
  await shot('22-hand-in');
  await page
    .getByRole('dialog')
    .getByRole('button', { name: /hand in/i })
    .click();
  await page
    .getByText(/handed in/i)
    .first()
    .waitFor();
  await page.waitForTimeout(500);
  await shot('23-result');
  assert.deepEqual(faults, [], 'no script failed');
  console.log('1 passed, 0 failed');
} finally {
  await browser.close();
  engine.stop();
}

/** Answers the question on screen by what it offers. */
async function answerWhatIsThere(page, answers) {
  const main = page.getByRole('main');
  if ((await main.getByRole('checkbox').count()) > 1) return answers.multiple_choice();
  if ((await main.getByRole('radio').count()) > 2) return answers.single_choice();
  if ((await main.getByRole('radio').count()) === 2) return answers.true_false();
  if ((await main.locator('select').count()) > 1) {
    for (const select of await main.locator('select').all())
      await select.selectOption({ index: 1 });
    return;
  }
  const texts = main.locator('textarea, input[type=text]');
  if ((await texts.count()) > 0) {
    for (const text of await texts.all()) await text.fill('3.14');
    return;
  }
  const down = main.getByRole('button', { name: /down/i });
  if ((await down.count()) > 0) return down.first().click();
  const picture = main.locator('img').last();
  if ((await picture.count()) > 0) {
    const box = await picture.boundingBox();
    await page.mouse.click(box.x + box.width * 0.2, box.y + box.height * 0.5);
  }
}
