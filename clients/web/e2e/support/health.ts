/** Checks of every page: no error, and nothing that axe finds inaccessible. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, type BrowserContext, type Page, type TestInfo } from '@playwright/test';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** A picture of a result with 220 questions takes a busy machine long. */
const PICTURE_TIMEOUT_MS = 60_000;
const RULES = ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'];

/** The words of a browser whose line is cut, as some tests do on purpose. */
const LINE_ERRORS = /net::ERR_|WebSocket connection to/;
/** Requests without a sign-in, with a wrong code or password, or of a computer that another
 * one took the exam from. */
const EXPECTED_REFUSALS = /status of 40[139]/;

/** Collects the errors of all pages of a browser window, those of the content security
 * policy among them. */
export function watchForErrors(context: BrowserContext): string[] {
  const errors: string[] = [];
  context.on('weberror', (error) => {
    errors.push(error.error().stack ?? error.error().message);
  });
  context.on('console', (message) => {
    const text = message.text();
    if (message.type() !== 'error') return;
    if (!LINE_ERRORS.test(text) && !EXPECTED_REFUSALS.test(text)) errors.push(text);
  });
  return errors;
}

/** Takes a picture for people to look at, and lets axe look for barriers. */
export async function inspect(page: Page, name: string, info: TestInfo): Promise<void> {
  const path = info.outputPath(`${name}.png`);
  await page.screenshot({ path, fullPage: true, timeout: PICTURE_TIMEOUT_MS });
  await page.evaluate(AXE);
  const violations = await page.evaluate(async (runOnly) => {
    const { axe } = globalThis as unknown as { axe: typeof import('axe-core') };
    const results = await axe.run(document, { runOnly });
    return results.violations.map(({ id, nodes }) => ({ id, html: nodes.map(({ html }) => html) }));
  }, RULES);
  expect(violations, `barriers of ${name}`).toEqual([]);
}
