/**
 * The pages in Chromium, before real engines: one promise a test.
 *
 *   npm run e2e -- -g "outlives it"               a test by its name
 *   npm run e2e -- -g "outlives it" --trace on    and a record of all that happened in it
 *   npm run e2e -- network sign-in                some files
 *
 *   INVIGIL_BIN       the program (the newest of `target/debug` and `target/release`)
 *   INVIGIL_CHROMIUM  the browser (/usr/bin/chromium)
 *   EXAMS             the folder of the real exams (../shared/data/exams beside the repository)
 */

import { defineConfig } from '@playwright/test';

/** As long as anything on a page may take on a busy machine. */
const WAIT_MS = 20_000;

export default defineConfig({
  testDir: '.',
  globalSetup: './support/global-setup.ts',
  // Pictures of what the tests saw, and the logs of the engines.
  outputDir: '../test-results',
  preserveOutput: 'always',
  reporter: 'list',
  forbidOnly: Boolean(process.env['CI']),
  // A flake is a bug.
  retries: 0,
  workers: 2,
  fullyParallel: true,
  timeout: 90_000,
  expect: { timeout: WAIT_MS },
  use: {
    browserName: 'chromium',
    launchOptions: {
      executablePath: process.env['INVIGIL_CHROMIUM'] ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
    },
    viewport: { width: 1280, height: 860 },
    contextOptions: { reducedMotion: 'reduce' },
    actionTimeout: WAIT_MS,
    navigationTimeout: WAIT_MS,
    screenshot: { mode: 'only-on-failure', fullPage: true },
    // A trace of everything would double the time of a run.
    trace: 'off',
  },
});
