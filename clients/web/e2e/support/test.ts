/**
 * The test of these specs: an engine of the worker's own, a candidate and a line to the
 * engine of the test's own, and the checks of `health.ts` on all pages.
 *
 * A worker runs one test after the other, and no two tests share a candidate. So tests of
 * one engine do not disturb each other, unless they act on a whole exam.
 */

import path from 'node:path';
import { expect, test as base, type BrowserContext, type WorkerInfo } from '@playwright/test';
import { DEMO_ALL, demo, serve, type Content, type Engine, type RosterLine } from './engine';
import { ExamPage } from './exam-page';
import { PARTS, PLAIN, SUPERVISED } from './exams';
import { inspect, watchForErrors } from './health';
import { Line } from './line';
import { supervise, type Supervisor } from './rest';

export { expect };

/** More than there are tests. */
const CANDIDATES = 100;

const CANDIDATE_LINES = Array.from({ length: CANDIDATES }, (_, index): RosterLine => {
  const id = `candidate-${index + 1}`;
  return { id, name: `Candidate ${index + 1}`, role: 'candidate', code: `cherry-${index + 1}` };
});
const PROCTOR: RosterLine = { id: 'pat', name: 'Pat Proctor', role: 'proctor', code: 'plum' };

/** The log of a worker's engine. */
const logOf = ({ project, workerIndex }: WorkerInfo) =>
  path.join(project.outputDir, `engine-${workerIndex}.log`);

interface TestFixtures {
  candidate: RosterLine;
  line: Line;
  /** The candidate's first tab, not signed in yet. */
  exam: ExamPage;
  /** Takes a picture of a page and checks that it is accessible. */
  look: (name: string, of?: ExamPage) => Promise<void>;
  /** Signs a supervisor in, for the attempt that the candidate is in. */
  supervisor: (examCode: string) => Promise<Supervisor>;
  /** Starts an engine that is only this test's: with this content, or the demo. */
  startEngine: (content: Content | 'demo') => Promise<Engine>;
  /** A browser on another computer: nothing of the first one is in it. */
  otherComputer: (url: string, person?: RosterLine) => Promise<ExamPage>;
  errors: string[];
}

interface WorkerFixtures {
  engine: Engine;
  /** The candidates that no test of the worker has had yet. */
  candidates: RosterLine[];
}

export const test = base.extend<TestFixtures, WorkerFixtures>({
  engine: [
    async ({}, use, info) => {
      const exams = [DEMO_ALL, SUPERVISED, PLAIN, PARTS];
      const engine = await serve({ exams, people: [...CANDIDATE_LINES, PROCTOR] }, logOf(info));
      await use(engine);
      await engine.stop();
    },
    { scope: 'worker', timeout: 90_000 },
  ],
  candidates: [
    async ({}, use) => {
      await use([...CANDIDATE_LINES]);
    },
    { scope: 'worker' },
  ],

  candidate: async ({ candidates }, use) => {
    const candidate = candidates.shift();
    if (!candidate) throw new Error('there are more tests than candidates: let CANDIDATES rise');
    await use(candidate);
  },
  line: async ({ engine }, use) => {
    const line = await Line.open(engine.url);
    await use(line);
    line.close();
  },
  baseURL: async ({ line }, use) => {
    await use(line.url);
  },
  exam: async ({ page, candidate }, use) => {
    await use(new ExamPage(page, candidate));
  },
  look: async ({ exam }, use, info) => {
    await use((name, of = exam) => inspect(of.page, name, info));
  },
  supervisor: async ({ engine, exam }, use) => {
    await use(async (code) => supervise(engine.url, PROCTOR, code, await exam.attemptId()));
  },
  startEngine: async ({}, use, info) => {
    const engines: Engine[] = [];
    await use(async (content) => {
      const log = info.outputPath('engine.log');
      const engine = await (content === 'demo' ? demo(log) : serve(content, log));
      engines.push(engine);
      return engine;
    });
    for (const engine of engines) await engine.stop();
  },
  otherComputer: async ({ browser, candidate, startEngine: _ }, use) => {
    const opened: { context: BrowserContext; errors: string[] }[] = [];
    await use(async (baseURL, person = candidate) => {
      const context = await browser.newContext({ baseURL });
      opened.push({ context, errors: watchForErrors(context) });
      return new ExamPage(await context.newPage(), person);
    });
    for (const { context, errors } of opened) {
      await context.close();
      expect(errors, 'the pages of another computer reported errors').toEqual([]);
    }
  },
  errors: [
    async ({ context }, use) => {
      const errors = watchForErrors(context);
      await use(errors);
      expect(errors, 'the pages reported errors').toEqual([]);
    },
    { auto: true },
  ],
});
