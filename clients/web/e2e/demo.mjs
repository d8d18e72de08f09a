// A person takes the demo exam in a browser: all ten types, by mouse and by keyboard, with
// a line that breaks, a network without sockets, a second tab and a tab that dies.
//
//   BASE_URL          a running demo; without it INVIGIL_BIN is started
//   INVIGIL_CHROMIUM  the browser (/usr/bin/chromium)
//   SHOTS             where the pictures go (a temporary directory)

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { openBrowser } from './browser.mjs';
import { startEngine } from './engine.mjs';
import { openLine } from './line.mjs';
import { CHECKS, LAST, STORED } from './answers.mjs';

const CANDIDATE = { id: process.env.CANDIDATE ?? 'ben', code: process.env.CODE ?? 'banana-2' };

const step = (name) => console.log(`- ${name}`);
const chip = (page) => page.locator('[data-save]');
const saved = (page) => page.locator('[data-save=saved].chip-saved').waitFor();
const unsaved = (page) => page.locator('[data-save=unsaved].chip-unsaved').waitFor();
const goTo = (page, number) =>
  page.getByRole('button', { name: new RegExp(`^Question ${number},`) }).click();
const heading = (page, number) =>
  page.getByRole('heading', { name: new RegExp(`^Question ${number} of`) }).waitFor();

async function signIn(page, shoot) {
  await page.goto('/');
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await shoot(page, 'sign-in');
  // The form is ready to be typed into, and Enter sends it.
  await page.keyboard.type(CANDIDATE.id);
  await page.keyboard.press('Tab');
  await page.keyboard.type('not-the-code');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').getByText('do not belong together').waitFor();
  await shoot(page, 'sign-in-refused');
  await page.getByLabel('Access code').fill(CANDIDATE.code);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'My exams' }).waitFor();
  await shoot(page, 'my-exams');
}

async function answerAll(page, shoot) {
  for (const [index, { type, answer }] of CHECKS.entries()) {
    step(`question ${index + 1}: ${type}`);
    await heading(page, index + 1);
    await answer(page);
    await saved(page);
    await page.locator('[data-question-save=saved]').waitFor();
    await shoot(page, `question-${type}`);
    if (index + 1 < CHECKS.length) await page.keyboard.press('Alt+Shift+N');
  }
}

async function storedAnswers(page) {
  return page.evaluate(async () => {
    const { attempt, token } = JSON.parse(sessionStorage.getItem('invigil.seat'));
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(`/api/v1/attempts/${attempt}/answers`, { headers });
    return (await response.json()).answers;
  });
}

/** Points to a hundredth; a click is only as exact as a pixel. */
function tidy(value) {
  const round = (point) => point.map((at) => Math.round(at * 100) / 100);
  return Array.isArray(value) && Array.isArray(value[0]) ? value.map(round) : value;
}

async function assertStored(page, expected) {
  const answers = await storedAnswers(page);
  for (const [q, value] of Object.entries(expected)) {
    assert.deepEqual(tidy(answers[q]?.value), tidy(value), `the stored answer to ${q}`);
  }
}

async function breakTheLine(page, line, shoot) {
  await goTo(page, 5);
  line.cut();
  await page.getByText('No connection.').waitFor();
  await page.getByLabel('Your answer').fill('CO2');
  await page.keyboard.press('Alt+Shift+N');
  await page.keyboard.press('Alt+Shift+F');
  await unsaved(page);
  assert.match(await chip(page).innerText(), /not saved yet/i);
  await shoot(page, 'offline');
  line.mend();
  await saved(page);
  await assertStored(page, { q5: 'CO2' });
  assert.equal((await storedAnswers(page)).q6.flagged, true, 'the flag arrived');
}

async function refuseSockets(page, line) {
  line.refuseSockets();
  await goTo(page, 5);
  await page.getByLabel('Your answer').fill('carbon dioxide');
  await saved(page);
  await assertStored(page, { q5: 'carbon dioxide' });
  line.mend();
}

async function writeMuch(page) {
  await goTo(page, 6);
  await page.getByLabel('Your answer').fill('Eine Brücke dehnt sich. 桥。 '.repeat(1000));
  await saved(page);
  await page.getByLabel('Your answer').fill(LAST.q6);
  await saved(page);
  await assertStored(page, { q6: LAST.q6 });
}

async function openElsewhere(page, context, shoot) {
  const other = await context.newPage();
  await other.goto('/');
  await other.getByRole('button', { name: /^Continue: All ten types/ }).click();
  await saved(other);
  await page.getByRole('heading', { name: 'This exam was opened elsewhere' }).waitFor();
  await shoot(page, 'opened-elsewhere');
  await page.getByRole('button', { name: 'Continue here instead' }).click();
  await saved(page);
  await other.getByRole('heading', { name: 'This exam was opened elsewhere' }).waitFor();
  await other.close();
}

/** A tab dies with an answer that never got out; the next one has it still. */
async function dieUnsaved(page, context, line) {
  await goTo(page, 5);
  line.cut();
  await page.getByText('No connection.').waitFor();
  await page.getByLabel('Your answer').fill(LAST.q5);
  await unsaved(page);
  await page.waitForTimeout(1_000);
  await page.close({ runBeforeUnload: false });
  line.mend();
  const next = await context.newPage();
  await next.goto('/');
  await next.getByRole('button', { name: /^Continue: All ten types/ }).click();
  await saved(next);
  await assertStored(next, LAST);
  return next;
}

async function handIn(page, shoot) {
  await goTo(page, 1);
  await page.getByRole('button', { name: 'Clear the answer' }).click();
  await page.getByRole('button', { name: 'Hand in', exact: true }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('1 question not answered').waitFor();
  await dialog.getByText('1 question flagged for review').waitFor();
  await shoot(page, 'hand-in-dialog');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await CHECKS[0].answer(page);
  await page.getByRole('button', { name: 'Hand in', exact: true }).click();
  await dialog.getByText('You answered all 10 questions.').waitFor();
  await page.getByRole('button', { name: 'Hand in now' }).click();
  await page.getByText('You handed in').waitFor();
  await shoot(page, 'result');
  // Essay and program wait for a person; everything else was right.
  assert.match(await page.locator('.score').innerText(), /^19 of 30 points so far$/);

  const download = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download the receipt' }).click();
  const receipt = readFileSync(await (await download).path(), 'utf8');
  assert.ok(receipt.includes('signature'), 'the receipt is signed');
}

async function lookBack(page, shoot) {
  await page.getByRole('link', { name: /My exams/ }).click();
  await page
    .getByRole('link', { name: /See the result/ })
    .last()
    .click();
  await page.locator('.score').waitFor();
  assert.equal(await page.locator('.result-questions > li').count(), STORED.length);
  await shoot(page, 'result-later');
}

/** The same pages on a telephone and in the dark. */
async function otherScreens(page, shoot) {
  await page.goto('/');
  await page.getByRole('button', { name: /^Start: All ten types/ }).click();
  await saved(page);
  await goTo(page, 1);
  await page.setViewportSize({ width: 390, height: 800 });
  await page.reload();
  await saved(page);
  await shoot(page, 'telephone');
  const wider = await page.evaluate(
    () => document.documentElement.scrollWidth > document.documentElement.clientWidth,
  );
  assert.equal(wider, false, 'nothing sticks out of a telephone');
  await page.setViewportSize({ width: 1280, height: 860 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await shoot(page, 'dark');
}

const { BASE_URL } = process.env;
const engine = BASE_URL ? { url: BASE_URL, stop() {} } : await startEngine('demo');
const line = await openLine(engine.url);
const browser = await openBrowser(line.url);
try {
  await browser.run(async () => {
    const { context, shoot } = browser;
    let page = await context.newPage();
    step('sign in');
    await signIn(page, shoot);
    await page.getByRole('button', { name: /^Start: All ten types/ }).click();
    await answerAll(page, shoot);
    await assertStored(page, Object.fromEntries(STORED));
    step('the line breaks');
    await breakTheLine(page, line, shoot);
    step('a network without sockets');
    await refuseSockets(page, line);
    step('an answer too long for a frame');
    await writeMuch(page);
    step('a second tab');
    await openElsewhere(page, context, shoot);
    step('a tab dies');
    page = await dieUnsaved(page, context, line);
    step('hand in');
    await handIn(page, shoot);
    step('the result, later');
    await lookBack(page, shoot);
    step('other screens');
    await otherScreens(page, shoot);
  });
} finally {
  line.close();
  await engine.stop();
}
