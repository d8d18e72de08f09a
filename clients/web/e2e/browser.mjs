// Chromium, with what every page of it is held to: no error, nothing that the content
// security policy forbids, nothing that axe finds inaccessible.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What a browser says when the line is cut, which this test does on purpose. */
const LINE_ERRORS = /net::ERR_|WebSocket connection to/;

export async function openBrowser(baseURL, prefix = '') {
  const browser = await chromium.launch({
    executablePath: process.env.INVIGIL_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  });
  const context = await browser.newContext({
    baseURL,
    viewport: { width: 1280, height: 860 },
    reducedMotion: 'reduce',
    acceptDownloads: true,
  });
  context.setDefaultTimeout(20_000);
  const faults = [];
  context.on('weberror', (error) => faults.push(error.error().stack));
  context.on('console', (message) => {
    if (message.type() !== 'error' || LINE_ERRORS.test(message.text())) return;
    // Asking without being signed in, with a wrong code or password, or for what another
    // computer has by now, is no fault.
    if (/status of 40[139]/.test(message.text())) return;
    faults.push(message.text());
  });

  const shots = process.env.SHOTS ?? mkdtempSync(path.join(tmpdir(), 'invigil-shots-'));
  mkdirSync(shots, { recursive: true });
  let number = 0;
  return {
    context,
    shots,
    /** Another computer: nothing of this browser's is in it. */
    stranger: (url) => browser.newContext({ baseURL: url }),
    /** Takes a picture, and looks for what keeps people out. */
    async shoot(page, name) {
      number += 1;
      const file = `${prefix}${String(number).padStart(2, '0')}-${name}.png`;
      await page.screenshot({ path: path.join(shots, file), fullPage: true });
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() =>
        globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'] }),
      );
      const found = violations.map(
        ({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`,
      );
      assert.deepEqual(found, [], `${name} keeps people out`);
    },
    /** Runs what a test does here, and ends the browser whatever comes of it. */
    async run(test) {
      try {
        await test();
        assert.deepEqual(faults, [], 'the pages reported errors');
        console.log(`passed; pictures in ${shots}`);
      } catch (error) {
        for (const [index, page] of context.pages().entries()) {
          await page.screenshot({ path: `${shots}/failed-${index}.png` }).catch(() => undefined);
        }
        console.error(`pictures in ${shots}`);
        throw error;
      } finally {
        await browser.close();
      }
    },
  };
}
