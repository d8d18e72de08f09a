// Real exams, as they are served: 230 questions in Chinese, 220 with formulas. Every one is
// looked at by program; a person looks at the pictures. Then the pages for programmers.
//
//   EXAMS             the folder of the exams (../shared/data/exams beside the repository)
//   INVIGIL_BIN       the program
//   INVIGIL_CHROMIUM  the browser (/usr/bin/chromium)
//   SHOTS             where the pictures go (a temporary directory)

import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { openBrowser } from './browser.mjs';
import { startEngine } from './engine.mjs';

const FOLDER =
  process.env.EXAMS ?? fileURLToPath(new URL('../../../../shared/data/exams', import.meta.url));
const FILES = ['gaokao-history.json', 'sat-math.json'].map((name) => path.join(FOLDER, name));

/** Questions that get a right and a wrong answer; every further picture is of one of them. */
const RIGHT = 12;
const WRONG = 3;

const ROSTER = `id,name,email,role,code,exams,time_factor,extra_minutes
cara,Cara Candidate,,candidate,cherry,*,,
`;

const step = (name) => console.log(`- ${name}`);
const saved = (page) => page.locator('[data-save=saved].chip-saved').waitFor();

async function signIn(page, shoot) {
  await page.goto('/');
  await page.getByLabel('Candidate number or name').fill('cara');
  await page.getByLabel('Access code').fill('cherry');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'My exams' }).waitFor();
  await shoot(page, 'real-exams');
}

/** What of a question is not as it should be, as its reader sees it. */
function faultsOfQuestion() {
  const article = globalThis.document.querySelector('article.question');
  const faults = [];
  for (const broken of article.querySelectorAll('.katex-error')) faults.push(broken.textContent);
  for (const image of article.querySelectorAll('img')) {
    if (image.complete && image.naturalWidth === 0) faults.push(`no picture: ${image.src}`);
  }
  // Only what is shown: a formula carries its source for screen readers.
  const shown = article.cloneNode(true);
  for (const formula of shown.querySelectorAll('.katex-mathml')) formula.remove();
  // Amounts of money stand between dollars too: only what is TeX is a fault.
  const raw = /\\[a-zA-Z]+|\$[^$]*[\^_{}\\][^$]*\$|\uFFFD/.exec(shown.textContent);
  if (raw) faults.push(`raw source: ${raw[0]}`);
  const { scrollWidth, clientWidth } = globalThis.document.documentElement;
  if (scrollWidth > clientWidth) faults.push('wider than the window');
  return { faults, formulas: article.querySelectorAll('.katex').length };
}

/** Answers the question that is shown, right or not. */
async function answer(page, exam, right) {
  const id = await page.locator('article.question input').first().getAttribute('name');
  const question = exam.sections.flatMap(({ questions }) => questions).find((q) => q.id === id);
  const option = question.options.find((o) => (o.id === question.answer) === right);
  const radio = page.locator(`article.question input[value="${option.id}"]`);
  await radio.check({ force: true });
}

async function take(page, exam, shoot) {
  const count = exam.sections.reduce((sum, { questions }) => sum + questions.length, 0);
  await page.getByRole('button', { name: new RegExp(`^Start: ${exam.title}`) }).click();
  let formulas = 0;
  const faults = [];
  for (let number = 1; number <= count; number += 1) {
    await page.getByRole('heading', { name: `Question ${number} of ${count}` }).waitFor();
    const looked = await page.evaluate(faultsOfQuestion);
    formulas += looked.formulas;
    faults.push(...looked.faults.map((fault) => `question ${number}: ${fault}`));
    if (number <= RIGHT + WRONG) await answer(page, exam, number <= RIGHT);
    if (number % 50 === 3) await shoot(page, `${exam.code}-${number}`);
    if (number < count) await page.keyboard.press('Alt+Shift+N');
  }
  assert.deepEqual(faults, []);
  await saved(page);

  await page.getByRole('button', { name: 'Hand in', exact: true }).click();
  await page
    .getByRole('dialog')
    .getByText(`${count - RIGHT - WRONG} questions not answered`)
    .waitFor();
  await shoot(page, `${exam.code}-hand-in`);
  await page.getByRole('button', { name: 'Hand in now' }).click();
  await page.getByText('You handed in').waitFor();
  assert.match(
    await page.locator('.score').innerText(),
    new RegExp(`^${RIGHT} of ${count} points`),
  );
  await shoot(page, `${exam.code}-result`);
  await page.getByRole('link', { name: /My exams/ }).click();
  return { count, formulas };
}

/** The interface's description, under the same content security policy as everything. */
async function readTheInterface(page, folder) {
  await page.goto('/api/docs/');
  await page.getByText('/api/v1/login').first().waitFor();
  await page.screenshot({ path: path.join(folder, 'real-api-docs.png') });
}

if (!FILES.every((file) => existsSync(file))) {
  const reason = `there are no exams in ${FOLDER}`;
  console.log(`SKIPPED: real exams in a browser: ${reason}`);
  const list = process.env.INVIGIL_SKIPPED;
  if (list) appendFileSync(list, `real exams in a browser: ${reason}\n`);
  process.exit(0);
}
const folder = mkdtempSync(path.join(tmpdir(), 'invigil-real-'));
const roster = path.join(folder, 'roster.csv');
writeFileSync(roster, ROSTER);
const exams = FILES.flatMap((file) => ['--exam', file]);
const engine = await startEngine('serve', ...exams, '--roster', roster, '--data', `${folder}/data`);
const browser = await openBrowser(engine.url, 'real-');
try {
  await browser.run(async () => {
    const page = await browser.context.newPage();
    step('sign in');
    await signIn(page, browser.shoot);
    for (const file of FILES) {
      const exam = JSON.parse(readFileSync(file, 'utf8'));
      step(exam.title);
      const { count, formulas } = await take(page, exam, browser.shoot);
      console.log(`  ${count} questions, ${formulas} formulas`);
    }
    step('the description of the interface');
    await readTheInterface(page, browser.shots);
  });
} finally {
  await engine.stop();
  rmSync(folder, { recursive: true });
}
