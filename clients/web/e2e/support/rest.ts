/** The engine's REST interface, for the actions of a test without a page. */

import { expect } from '@playwright/test';
import type { ExchangeReply, Value } from 'invigil-js';
import type { RosterLine } from './engine';

async function post(url: string, body: unknown, token?: string): Promise<unknown> {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  const text = await response.text();
  expect(response.ok, `${url}: ${response.status} ${text}`).toBe(true);
  return JSON.parse(text);
}

async function signIn(origin: string, { id, code }: RosterLine): Promise<string> {
  const { token } = (await post(`${origin}/api/v1/login`, { id, code })) as { token: string };
  return token;
}

/** Starts an attempt of a candidate and saves these answers in it, from another computer. */
export async function answerElsewhere(
  origin: string,
  candidate: RosterLine,
  exam: string,
  answers: [q: string, value: Value][],
): Promise<void> {
  const login = await signIn(origin, candidate);
  const started = await post(`${origin}/api/v1/exams/${exam}/attempts`, {}, login);
  const { attempt, token } = started as { attempt: string; token: string };
  const url = `${origin}/api/v1/attempts/${attempt}/exchange`;
  const first = (await post(url, { commands: [], signals: [] }, token)) as ExchangeReply;
  const commands = answers.map(([q, value], index) => ({ t: 'answer', seq: index + 1, q, value }));
  const body = { session: first.session, next_seq: commands.length + 1, commands, signals: [] };
  const reply = (await post(url, body, token)) as ExchangeReply;
  expect(reply).toMatchObject({ saved_seq: commands.length, refused: [] });
}

/** Acts on attempts as a supervisor's console does. */
export type Supervisor = (action: string, args: Record<string, unknown>) => Promise<void>;

/** Signs a supervisor in, who acts on one attempt. */
export async function supervise(
  origin: string,
  proctor: RosterLine,
  exam: string,
  attempt: string,
): Promise<Supervisor> {
  const token = await signIn(origin, proctor);
  let commands = 0;
  return async (action, args) => {
    commands += 1;
    const body = { id: `${attempt}-${commands}`, target: { attempt }, action, args };
    const result = await post(`${origin}/api/v1/exams/${exam}/commands`, body, token);
    expect(result, action).toMatchObject({ done: 1 });
  };
}
