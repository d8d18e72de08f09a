// What an exam's rules and its supervisors do to the page: a waiting room and a sealed
// paper, parts with a time limit, a password, pauses, messages, and an answer that two
// computers changed.
//
//   INVIGIL_BIN       the program
//   INVIGIL_CHROMIUM  the browser (/usr/bin/chromium)
//   SHOTS             where the pictures go (a temporary directory)

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openBrowser } from './browser.mjs';
import { startEngine } from './engine.mjs';
import { openLine } from './line.mjs';

/** Long enough to sign in on a busy machine, short enough to wait for. */
const LOBBY_MS = 15_000;

const ROSTER = `id,name,email,role,code,exams,time_factor,extra_minutes
cara,Cara Candidate,,candidate,cherry,*,,
pat,Pat Proctor,,proctor,plum,*,,
`;

const question = (id, content) => ({
  id,
  type: 'short_answer',
  content,
  points: 1,
  answer: ['yes'],
});

const EXAMS = [
  {
    code: 'LOBBY',
    title: 'Waiting room',
    type: 'final',
    instructions: 'Read **every** question to its end.',
    duration_minutes: 30,
    available_from: new Date(Date.now() + LOBBY_MS).toISOString(),
    shuffle_questions: false,
    sections: [
      {
        id: 'a',
        title: 'First part',
        time_limit_minutes: 10,
        questions: [question('a1', 'The first part runs.')],
      },
      {
        id: 'b',
        title: 'Second part',
        time_limit_minutes: 10,
        questions: [question('b1', 'The second part waits.')],
      },
    ],
  },
  {
    code: 'RULES',
    title: 'Supervised exam',
    type: 'midterm',
    duration_minutes: 30,
    password: 'open-sesame',
    show_results_immediately: false,
    sections: [{ id: 's', title: 'All of it', questions: [question('q1', 'Is it so?')] }],
  },
  {
    code: 'CLASH',
    title: 'Two computers',
    type: 'quiz',
    duration_minutes: 30,
    sections: [{ id: 's', title: 'All of it', questions: [question('q1', 'Is it so?')] }],
  },
];

const step = (name) => console.log(`- ${name}`);
const saved = (page) => page.locator('[data-save=saved].chip-saved').waitFor();
const answerField = (page) => page.getByLabel('Your answer');

async function signIn(page) {
  await page.goto('/');
  await page.getByLabel('Candidate number').fill('cara');
  await page.getByLabel('Access code').fill('cherry');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'My exams' }).waitFor();
}

/** A supervisor, over the interface that the console uses too. */
async function supervisor(url) {
  const post = async (path, body, token) => {
    const headers = { 'content-type': 'application/json' };
    if (token) headers.authorization = `Bearer ${token}`;
    const response = await fetch(`${url}/api/v1${path}`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    });
    assert.ok(response.ok, `${path}: ${response.status} ${await response.clone().text()}`);
    return response.json();
  };
  const { token } = await post('/login', { id: 'pat', code: 'plum' });
  let commands = 0;
  return async (action, args) => {
    commands += 1;
    const body = { id: `c${commands}`, target: { exam: 'RULES' }, action, args };
    const result = await post('/exams/RULES/commands', body, token);
    assert.equal(result.done, 1, `${action}: ${JSON.stringify(result)}`);
  };
}

async function waitInTheLobby(page, shoot) {
  const papers = [];
  page.on('request', (request) => {
    if (/\/papers?(\/|$)/.test(request.url())) papers.push(request.url());
  });
  await page.getByRole('button', { name: 'Enter the waiting room: Waiting room' }).click();
  await page.getByText('Connected. Your paper is ready.').waitFor();
  await shoot(page, 'lobby');
  await page.getByRole('heading', { name: 'Question 1 of 2' }).waitFor();
  assert.equal(papers.length, 1, 'the sealed paper was opened, not fetched again');
  await page.getByText('this part', { exact: true }).waitFor();
  await answerField(page).fill('yes');
  await saved(page);
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByText('This part has not begun yet.').waitFor();
  assert.ok(await answerField(page).isDisabled(), 'a later part cannot be answered');
  await shoot(page, 'part-not-begun');
}

async function beSupervised(page, command, shoot) {
  await page.goto('/');
  await page.getByRole('button', { name: 'Start: Supervised exam' }).click();
  await page.getByLabel('Password', { exact: true }).fill('sesame');
  await page.keyboard.press('Enter');
  await page.getByText('That password is not right.').waitFor();
  await shoot(page, 'password');
  await page.getByLabel('Password', { exact: true }).fill('open-sesame');
  await page.keyboard.press('Enter');
  await answerField(page).fill('yes');
  await saved(page);

  await command('message', { text: 'Please put your phones away.', level: 'warning', ack: true });
  await page.getByText('Please put your phones away.').waitFor();
  await shoot(page, 'notice');
  await page.getByRole('button', { name: 'I have read this' }).click();
  await page.getByText('Please put your phones away.').waitFor({ state: 'detached' });

  await command('pause', { reason: 'Fire drill.' });
  await page.getByText('Fire drill.').waitFor();
  assert.ok(await answerField(page).isDisabled(), 'a pause takes no answers');
  await shoot(page, 'paused');
  await command('resume', { reason: 'All clear.' });
  await answerField(page).and(page.locator(':enabled')).waitFor();
  await command('extend', { ms: 3_600_000, reason: 'The drill.' });
  await page.getByRole('timer').filter({ hasText: /^1:2/ }).waitFor();

  await command('submit', { reason: 'Everybody out.' });
  await page.getByText('Your exam was handed in by your supervisor').waitFor();
  await page.getByText('The result will be under “My exams”').waitFor();
  await shoot(page, 'handed-in-by-supervisor');
}

async function clash(page, other, line, shoot) {
  await page.goto('/');
  await page.getByRole('button', { name: 'Start: Two computers' }).click();
  await answerField(page).fill('first');
  await saved(page);
  line.cut();
  await page.getByText('No connection.').waitFor();
  await answerField(page).fill('written here');
  await page.locator('[data-save=unsaved]').waitFor();

  await signIn(other);
  await other.getByRole('button', { name: 'Continue: Two computers' }).click();
  assert.equal(await answerField(other).inputValue(), 'first');
  await answerField(other).fill('written there');
  await saved(other);
  await other.close();

  line.mend();
  // By a socket this computer simply goes on; by a request it is told first that the other
  // one has the exam. Which of them comes through first is chance.
  const conflict = page.getByRole('heading', { name: 'This answer was changed elsewhere' });
  const takeBack = page.getByRole('button', { name: 'Continue here instead' });
  await conflict.or(takeBack).waitFor();
  if (await takeBack.isVisible()) await takeBack.click();
  await conflict.waitFor();
  await page.getByText('written there').waitFor();
  assert.ok(await answerField(page).isDisabled(), 'first the person chooses');
  await shoot(page, 'conflict');
  await page.getByRole('button', { name: 'Use this one' }).click();
  await saved(page);
  assert.equal(await answerField(page).inputValue(), 'written here');
  await page.reload();
  assert.equal(await answerField(page).inputValue(), 'written here');
}

const folder = mkdtempSync(path.join(tmpdir(), 'invigil-e2e-'));
const file = (name, content) => {
  writeFileSync(path.join(folder, name), content);
  return path.join(folder, name);
};
const exams = EXAMS.flatMap((exam) => ['--exam', file(`${exam.code}.json`, JSON.stringify(exam))]);
const roster = file('roster.csv', ROSTER);
const data = path.join(folder, 'data');
const engine = await startEngine('serve', ...exams, '--roster', roster, '--data', data);
const line = await openLine(engine.url);
const browser = await openBrowser(line.url, 'rules-');
try {
  await browser.run(async () => {
    const { context, shoot } = browser;
    const page = await context.newPage();
    await signIn(page);
    step('a waiting room, and parts with a time limit');
    await waitInTheLobby(page, shoot);
    step('a supervisor');
    await beSupervised(page, await supervisor(engine.url), shoot);
    step('two computers');
    const other = await (await browser.stranger(engine.url)).newPage();
    await clash(page, other, line, shoot);
  });
} finally {
  line.close();
  await engine.stop();
  rmSync(folder, { recursive: true, force: true });
}
