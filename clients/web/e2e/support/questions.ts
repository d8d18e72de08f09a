/** The ten questions of DEMO-ALL in the exam's order: the actions that answer each, by mouse or
 * by keyboard, and the answer that is stored then. */

import { expect, type Locator, type Page } from '@playwright/test';
import type { QuestionType, Value } from 'invigil-js';

interface DemoQuestion {
  q: string;
  type: QuestionType;
  answer: (page: Page) => Promise<void>;
  stored: Value;
}

/** Texts of options are LaTeX, and are found by their source. */
function option(page: Page, tex: string): Locator {
  const source = page.locator(`annotation:text-is("${tex}")`);
  return page.locator('label.option').filter({ has: source });
}

/** Presses Tab until the focus is on an input inside `target`. */
async function tabTo(page: Page, target: Locator): Promise<void> {
  for (let presses = 0; presses < 60; presses += 1) {
    if (await target.evaluate((element) => element.contains(document.activeElement))) return;
    await page.keyboard.press('Tab');
  }
  throw new Error('the keyboard does not get there');
}

async function chooseByKeyboard(page: Page): Promise<void> {
  for (const tex of ['2', '17', '97']) {
    // From the top each time: the options stand in an order of this candidate's own.
    await page.getByRole('heading', { name: /^Question 2/ }).focus();
    await tabTo(page, option(page, tex));
    await page.keyboard.press('Space');
  }
}

async function sayTrue(page: Page): Promise<void> {
  await tabTo(page, page.getByRole('group', { name: 'True or false?' }));
  await page.keyboard.press('Space');
}

async function fillBlanks(page: Page): Promise<void> {
  await page.getByLabel('Blank 1').click();
  await page.keyboard.type('60');
  await page.keyboard.press('Tab');
  await page.keyboard.type('3.14');
}

const ESSAY = 'Steel and concrete grow with heat.\n没有缝隙，桥面会拱起。\n';

async function writeEssay(page: Page): Promise<void> {
  await page.getByLabel('Your answer').click();
  await page.keyboard.insertText(ESSAY);
  await expect(page.getByText('words ·')).toBeVisible();
}

const PROGRAM =
  'def fib(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a';

async function writeProgram(page: Page): Promise<void> {
  await page.getByLabel('Language').selectOption('rust');
  await page.getByLabel('Language').selectOption('python');
  await page.getByLabel('Program').click();
  // A new line begins where the one before it did.
  await page.keyboard.type('def fib(n):\n');
  await page.keyboard.press('Tab');
  await page.keyboard.type('a, b = 0, 1\nfor _ in range(n):\n');
  await page.keyboard.press('Tab');
  await page.keyboard.type('a, b = b, a + b\n');
  for (let i = 0; i < 4; i += 1) await page.keyboard.press('Backspace');
  await page.keyboard.type('return a');
  // Escape lets Tab out of the editor.
  await page.keyboard.press('Escape');
  await page.keyboard.press('Tab');
  await expect(page.getByLabel('Program')).not.toBeFocused();
}

async function match(page: Page): Promise<void> {
  await page.getByLabel('Kenya').selectOption({ label: '内罗毕 Nairobi' });
  await page.getByLabel('Peru').selectOption({ label: '利马 Lima' });
  const last = page.getByLabel('Finland');
  await last.focus();
  while (!(await last.locator('option:checked').innerText()).includes('Helsinki')) {
    await page.keyboard.press('ArrowDown');
  }
}

async function order(page: Page): Promise<void> {
  const items = page.locator('.ordering li');
  const place = (tex: string) =>
    items.evaluateAll(
      (list, wanted) =>
        list.findIndex((item) => item.querySelector('annotation')?.textContent === wanted),
      tex,
    );
  // The first by mouse, the second with the arrow keys, the others with buttons.
  await items.nth(await place('\\sqrt{2}')).dragTo(items.nth(0));
  for (let at = await place('\\frac{3}{2}'); at > 1; at = await place('\\frac{3}{2}')) {
    await items
      .nth(at)
      .getByRole('button', { name: /arrow keys/ })
      .focus();
    await page.keyboard.press('ArrowUp');
  }
  for (const [to, tex] of [
    [2, '\\frac{\\pi}{2}'],
    [3, '\\log_2 3'],
  ] as const) {
    for (let at = await place(tex); at > to; at = await place(tex)) {
      await items
        .nth(at)
        .getByRole('button', { name: /^Move up/ })
        .click();
    }
  }
  const confirm = page.getByRole('button', { name: 'answer with this order' });
  if (await confirm.isVisible()) await confirm.click();
}

async function pointAt(page: Page): Promise<void> {
  const picture = page.getByRole('application');
  const box = await picture.boundingBox();
  if (!box) throw new Error('the picture is not shown');
  await picture.click({ position: { x: box.width * 0.2, y: box.height * 0.5 } });
  await picture.click({ position: { x: box.width * 0.5, y: box.height * 0.5 } });
  await page.getByRole('button', { name: 'Remove point 2' }).click();
  await page.getByRole('heading', { name: /^Question 10/ }).focus();
  await tabTo(page, picture);
  for (let i = 0; i < 3; i += 1) await page.keyboard.press('Shift+ArrowRight');
  for (let i = 0; i < 2; i += 1) await page.keyboard.press('Shift+ArrowUp');
  await page.keyboard.press('Enter');
}

export const QUESTIONS: DemoQuestion[] = [
  {
    q: 'q1',
    type: 'single_choice',
    answer: (page) => option(page, '1').click(),
    stored: 'b',
  },
  { q: 'q2', type: 'multiple_choice', answer: chooseByKeyboard, stored: ['a', 'c', 'e'] },
  { q: 'q3', type: 'true_false', answer: sayTrue, stored: true },
  { q: 'q4', type: 'fill_blank', answer: fillBlanks, stored: ['60', '3.14'] },
  {
    q: 'q5',
    type: 'short_answer',
    answer: (page) => page.getByLabel('Your answer').pressSequentially('二氧化碳'),
    stored: '二氧化碳',
  },
  { q: 'q6', type: 'essay', answer: writeEssay, stored: ESSAY },
  {
    q: 'q7',
    type: 'coding',
    answer: writeProgram,
    stored: { language: 'python', source: PROGRAM },
  },
  { q: 'q8', type: 'matching', answer: match, stored: { ke: 'nbo', pe: 'lim', fi: 'hel' } },
  { q: 'q9', type: 'ordering', answer: order, stored: ['w', 'x', 'z', 'y'] },
  {
    q: 'q10',
    type: 'hotspot',
    answer: pointAt,
    stored: [
      [0.2, 0.5],
      [0.8, 0.3],
    ],
  },
];

/** Points to a hundredth; a click is only as exact as a pixel. */
export function rounded(value: Value | undefined): unknown {
  if (!Array.isArray(value)) return value;
  return value.map((entry) =>
    Array.isArray(entry) ? entry.map((at) => Math.round(at * 100) / 100) : entry,
  );
}
