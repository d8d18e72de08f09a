// The ten questions of DEMO-ALL, in the exam's order: how a person answers each one, and
// what is stored then. Mouse and keyboard take turns.

/** Ids of options that are LaTeX are found by their source. */
const option = (page, tex) =>
  page.locator('label.option').filter({ has: page.locator(`annotation:text-is("${tex}")`) });

/** Tab until the focus is on an input inside `target`. */
async function tabTo(page, target) {
  for (let presses = 0; presses < 60; presses += 1) {
    if (await target.evaluate((element) => element.contains(document.activeElement))) return;
    await page.keyboard.press('Tab');
  }
  throw new Error('the keyboard does not get there');
}

const ESSAY = 'Steel and concrete grow with heat.\n没有缝隙，桥面会拱起。\n';
const PROGRAM =
  'def fib(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a';

export const CHECKS = [
  { type: 'single_choice', answer: (page) => option(page, '1').click() },
  {
    type: 'multiple_choice',
    async answer(page) {
      for (const tex of ['2', '17', '97']) {
        // From the top each time: the options stand in an order of this candidate's own.
        await page.getByRole('heading', { name: /^Question 2/ }).focus();
        await tabTo(page, option(page, tex));
        await page.keyboard.press('Space');
      }
    },
  },
  {
    type: 'true_false',
    async answer(page) {
      await tabTo(page, page.getByRole('group', { name: 'True or false?' }));
      await page.keyboard.press('Space');
    },
  },
  {
    type: 'fill_blank',
    async answer(page) {
      await page.getByLabel('Blank 1').click();
      await page.keyboard.type('60');
      await page.keyboard.press('Tab');
      await page.keyboard.type('3.14');
    },
  },
  {
    type: 'short_answer',
    async answer(page) {
      await page.getByLabel('Your answer').pressSequentially('二氧化碳');
    },
  },
  {
    type: 'essay',
    async answer(page) {
      await page.getByLabel('Your answer').click();
      await page.keyboard.insertText(ESSAY);
      await page.getByText('words ·').waitFor();
    },
  },
  {
    type: 'coding',
    async answer(page) {
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
      await page.locator('#source:not(:focus)').waitFor();
    },
  },
  {
    type: 'matching',
    async answer(page) {
      await page.getByLabel('Kenya').selectOption({ label: '内罗毕 Nairobi' });
      await page.getByLabel('Peru').selectOption({ label: '利马 Lima' });
      const last = page.getByLabel('Finland');
      await last.focus();
      while (!(await last.locator('option:checked').innerText()).includes('Helsinki')) {
        await page.keyboard.press('ArrowDown');
      }
    },
  },
  {
    type: 'ordering',
    async answer(page) {
      const items = page.locator('.ordering li');
      const place = async (tex) =>
        await items.evaluateAll(
          (list, wanted) =>
            list.findIndex((item) => item.querySelector('annotation')?.textContent === wanted),
          tex,
        );
      const [first, ...rest] = ['\\sqrt{2}', '\\frac{3}{2}', '\\frac{\\pi}{2}', '\\log_2 3'];
      // The first by mouse, the others by keyboard and buttons.
      await items.nth(await place(first)).dragTo(items.nth(0));
      for (const [index, tex] of rest.entries()) {
        const to = index + 1;
        for (let at = await place(tex); at > to; at = await place(tex)) {
          if (index === 0) {
            await items
              .nth(at)
              .getByRole('button', { name: /arrow keys/ })
              .focus();
            await page.keyboard.press('ArrowUp');
          } else {
            await items
              .nth(at)
              .getByRole('button', { name: /^Move up/ })
              .click();
          }
        }
      }
      const confirm = page.getByRole('button', { name: 'answer with this order' });
      if (await confirm.isVisible()) await confirm.click();
    },
  },
  {
    type: 'hotspot',
    async answer(page) {
      const picture = page.getByRole('application');
      const { width, height } = await picture.boundingBox();
      await picture.click({ position: { x: width * 0.2, y: height * 0.5 } });
      await picture.click({ position: { x: width * 0.5, y: height * 0.5 } });
      await page.getByRole('button', { name: 'Remove point 2' }).click();
      await page.getByRole('heading', { name: /^Question 10/ }).focus();
      await tabTo(page, picture);
      for (let i = 0; i < 3; i += 1) await page.keyboard.press('Shift+ArrowRight');
      for (let i = 0; i < 2; i += 1) await page.keyboard.press('Shift+ArrowUp');
      await page.keyboard.press('Enter');
    },
  },
];

/** What is stored after that. */
export const STORED = [
  ['q1', 'b'],
  ['q2', ['a', 'c', 'e']],
  ['q3', true],
  ['q4', ['60', '3.14']],
  ['q5', '二氧化碳'],
  ['q6', ESSAY],
  ['q7', { language: 'python', source: PROGRAM }],
  ['q8', { ke: 'nbo', pe: 'lim', fi: 'hel' }],
  ['q9', ['w', 'x', 'z', 'y']],
  [
    'q10',
    [
      [0.2, 0.5],
      [0.8, 0.3],
    ],
  ],
];

/** What is changed later on, last. */
export const LAST = { q5: 'CO₂', q6: 'Heat makes a bridge longer. 热胀冷缩。' };
