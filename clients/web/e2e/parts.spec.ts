import { lobby } from './support/exams';
import { expect, test } from './support/test';

/** Long enough to sign in on a busy machine, short enough to wait for. */
const LOBBY_MS = 15_000;

test('the paper is in the waiting room before the exam, and opens by itself', async ({
  candidate,
  startEngine,
  otherComputer,
  look,
}) => {
  const engine = await startEngine({ exams: [lobby(LOBBY_MS)], people: [candidate] });
  const exam = await otherComputer(engine.url);
  const { page } = exam;
  const papers: string[] = [];
  page.on('request', (request) => {
    if (/\/papers?(\/|$)/.test(request.url())) papers.push(request.url());
  });
  await exam.signIn();
  await page.getByRole('button', { name: 'Enter the waiting room: Waiting room' }).click();
  await expect(page.getByText('Connected. Your paper is ready.')).toBeVisible();
  await look('lobby', exam);
  await expect(exam.heading(1)).toBeVisible();
  expect(papers, 'the sealed paper was opened, not fetched again').toHaveLength(1);
  await exam.answer.fill('yes');
  await exam.saved();
});

test('a part with a time limit is open while it runs, and no other', async ({
  page,
  exam,
  look,
}) => {
  await exam.start('Two parts');
  await expect(page.getByText('this part', { exact: true })).toBeVisible();
  await exam.answer.fill('yes');
  await exam.saved();
  await page.getByRole('button', { name: 'Next' }).click();
  await expect(page.getByText('This part has not begun yet.')).toBeVisible();
  await expect(exam.answer).toBeDisabled();
  await look('part-not-begun');
});
