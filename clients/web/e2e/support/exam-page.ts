/** A candidate at the pages: the actions of a person there, and the signs of their success. */

import { expect, type Locator, type Page } from '@playwright/test';
import type { StoredAnswer } from 'invigil-js';
import type { RosterLine } from './engine';

/** A tab of a candidate. */
export class ExamPage {
  constructor(
    readonly page: Page,
    readonly candidate: RosterLine,
  ) {}

  async signIn(): Promise<void> {
    await this.page.goto('/');
    await this.page.getByLabel('Candidate number or name').fill(this.candidate.id);
    await this.page.getByLabel('Access code').fill(this.candidate.code);
    await this.page.keyboard.press('Enter');
    await expect(this.page.getByRole('heading', { name: 'My exams' })).toBeVisible();
  }

  /** Signs in, and starts an exam that is open. */
  async start(title: string): Promise<void> {
    await this.signIn();
    await this.begin(title);
  }

  /** Starts an exam, from the list of exams. */
  async begin(title: string): Promise<void> {
    await this.page.getByRole('button', { name: `Start: ${title}` }).click();
    await this.saved();
  }

  /** Goes on with an attempt, from the list of exams. */
  async continue(title: string): Promise<void> {
    await this.page.getByRole('button', { name: `Continue: ${title}` }).click();
    await this.saved();
  }

  async saved(): Promise<void> {
    await expect(this.page.locator('[data-save=saved].chip-saved')).toBeVisible();
  }

  async unsaved(): Promise<void> {
    await expect(this.page.locator('[data-save=unsaved].chip-unsaved')).toBeVisible();
  }

  /** The banner of a page that lost its connection. */
  async offline(): Promise<void> {
    await expect(this.page.getByText('No connection.')).toBeVisible();
  }

  async openedElsewhere(): Promise<void> {
    const heading = this.page.getByRole('heading', { name: 'This exam was opened elsewhere' });
    await expect(heading).toBeVisible();
  }

  heading(number: number): Locator {
    return this.page.getByRole('heading', { name: new RegExp(`^Question ${number} of`) });
  }

  async goTo(number: number): Promise<void> {
    await this.page.getByRole('button', { name: new RegExp(`^Question ${number},`) }).click();
    await expect(this.heading(number)).toBeVisible();
  }

  async next(): Promise<void> {
    await this.page.keyboard.press('Alt+Shift+N');
  }

  get answer(): Locator {
    return this.page.getByLabel('Your answer');
  }

  get dialog(): Locator {
    return this.page.getByRole('dialog');
  }

  async openHandInDialog(): Promise<void> {
    await this.page.getByRole('button', { name: 'Hand in', exact: true }).click();
  }

  async handIn(): Promise<void> {
    await this.openHandInDialog();
    await this.page.getByRole('button', { name: 'Hand in now' }).click();
    await expect(this.page.getByText('You handed in')).toBeVisible();
  }

  /** Number of the attempt that this tab is in. */
  async attemptId(): Promise<string> {
    const { attempt } = await this.#seat();
    return attempt;
  }

  /** The answer to a question as the engine has it. */
  async stored(q: string): Promise<StoredAnswer | undefined> {
    const { attempt, token } = await this.#seat();
    const headers = { authorization: `Bearer ${token}` };
    const response = await this.page.request.get(`/api/v1/attempts/${attempt}/answers`, {
      headers,
    });
    const { answers } = (await response.json()) as { answers: Record<string, StoredAnswer> };
    return answers[q];
  }

  async #seat(): Promise<{ attempt: string; token: string }> {
    const seat = await this.page.evaluate(() => sessionStorage.getItem('invigil.seat'));
    return JSON.parse(seat ?? '{}') as { attempt: string; token: string };
  }
}
