/**
 * Performs the core's effects in a browser: sockets, requests, timers, storage.
 *
 * The outbox is stored before anything is sent, so that a tab that dies never uses a number
 * of the session for two commands.
 */

import type { EventKind } from './codes';
import type { ClientMessage, ExchangeReply, ServerMessage } from './messages';
import type { Paper, SealedPaper, StoredAnswers, Value } from './paper';
import { reduce } from './reduce';
import { unseal } from './seal';
import {
  initialState,
  type Effect,
  type Input,
  type Outcome,
  type State,
  type Timer,
} from './state';
import { claim, deviceOf, forget, keep, recall, storedDiffers, type Shelf } from './storage';

const PROTOCOL = 'invigil.v1.json';
const CLIENT = { name: 'invigil-js', version: '0.1.0' };
/** A request that takes longer counts as failed. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Typed text is stored this often, not at every key. */
const KEEP_TYPED_MS = 300;

/** The engine's address, and the candidate's admission to the attempt. */
export interface Options {
  attemptId: string;
  token: string;
  /** `https://host` of the engine. */
  origin: string;
  shelf: Shelf;
}

/** A live attempt: its state, and everything that the person can do. */
export class Attempt {
  state: State;
  #options: Options;
  #socket: { id: number; socket: WebSocket } | null = null;
  #timers = new Map<Timer, ReturnType<typeof setTimeout>>();
  #keepTimer: ReturnType<typeof setTimeout> | undefined;
  #listeners = new Set<() => void>();
  #kept = true;

  constructor(options: Options) {
    this.#options = options;
    this.state = initialState(options.attemptId);
  }

  /** Calls back after every change; returns a function that ends it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  start(): void {
    claim(this.#options.shelf, this.#options.attemptId, () => this.#dispatch({ on: 'taken' }));
    const stored = recall(this.#options.shelf, this.#options.attemptId);
    this.#dispatch({ on: 'start', stored });
  }

  edit = (q: string, value: Value, hold = false) => this.#dispatch({ on: 'edit', q, value, hold });
  flush = () => this.#dispatch({ on: 'flush' });
  flag = (q: string, flagged: boolean) => this.#dispatch({ on: 'flag', q, flagged });
  submit = () => this.#dispatch({ on: 'submit' });
  show = (q: string | null) => this.#dispatch({ on: 'show', q });
  acknowledge = (id: string) => this.#dispatch({ on: 'acknowledge', id });
  dismiss = () => this.#dispatch({ on: 'dismiss' });
  network = (online: boolean) => this.#dispatch({ on: 'network', online });
  resolve = (q: string, chosen: 'mine' | 'theirs') =>
    this.#dispatch({ on: 'resolve', q, keep: chosen });
  observe = (kind: EventKind, data?: Record<string, unknown>) =>
    this.#dispatch(data ? { on: 'observe', kind, data } : { on: 'observe', kind });

  /** Stores typed text at once, because the page may vanish any moment. */
  keepNow(): void {
    clearTimeout(this.#keepTimer);
    if (this.#kept) keep(this.#options.shelf, this.state);
  }

  #dispatch(input: Input): void {
    const before = this.state;
    const [state, effects] = reduce(before, input, {
      now: performance.now(),
      wall: Date.now(),
      random: Math.random(),
      visible: document.visibilityState === 'visible',
      focused: document.hasFocus(),
      fullscreen: document.fullscreenElement !== null,
    });
    this.state = state;
    // A superseded tab leaves the storage to the tab that goes on.
    this.#kept &&= state.link.kind !== 'ended';
    if (this.#kept && input.on !== 'start' && storedDiffers(before, state)) this.keepNow();
    else if (before.drafts !== state.drafts) this.#keepSoon();
    for (const effect of effects) this.#perform(effect);
    for (const listener of this.#listeners) listener();
  }

  #keepSoon(): void {
    clearTimeout(this.#keepTimer);
    this.#keepTimer = setTimeout(() => this.keepNow(), KEEP_TYPED_MS);
  }

  #perform(effect: Effect): void {
    const { token, attemptId, shelf } = this.#options;
    switch (effect.do) {
      case 'open':
        return this.#open(effect.socket);
      case 'hello': {
        const { do: _, socket, ...rest } = effect;
        const device = deviceOf(shelf);
        const client = device ? { ...CLIENT, device } : CLIENT;
        return this.#send(socket, { t: 'hello', token, ...rest, client });
      }
      case 'send':
        return this.#send(effect.socket, effect.message);
      case 'close':
        if (this.#socket?.id === effect.socket) {
          this.#socket.socket.close();
          this.#socket = null;
        }
        return;
      case 'timer':
        clearTimeout(this.#timers.get(effect.timer));
        this.#timers.set(
          effect.timer,
          setTimeout(() => this.#dispatch({ on: 'timer', timer: effect.timer }), effect.ms),
        );
        return;
      case 'cancel':
        return clearTimeout(this.#timers.get(effect.timer));
      case 'exchange':
        return void this.#exchange(effect.request);
      case 'fetch_paper':
        return void this.#load(effect.url, (body) => ({
          on: 'paper',
          document: body as Paper | SealedPaper,
        }));
      case 'fetch_record':
        return void this.#load(effect.url, (body) => ({
          on: 'record',
          session: effect.session,
          stored: body as StoredAnswers,
        }));
      case 'unseal':
        return void unseal(effect.document, effect.key).then((sections) =>
          this.#dispatch({ on: 'unsealed', sections }),
        );
      case 'fetch_outcome':
        return void this.#fetchOutcome();
      case 'forget':
        this.#kept = false;
        return forget(shelf, attemptId);
    }
  }

  #open(id: number): void {
    const address = `${this.#options.origin.replace(/^http/, 'ws')}/ws/v1/attempt`;
    const socket = new WebSocket(address, PROTOCOL);
    this.#socket = { id, socket };
    socket.addEventListener('open', () => this.#dispatch({ on: 'opened', socket: id }));
    socket.addEventListener('close', ({ code }) =>
      this.#dispatch({ on: 'closed', socket: id, code }),
    );
    socket.addEventListener('message', ({ data }) => {
      const message = JSON.parse(String(data)) as ServerMessage;
      this.#dispatch({ on: 'message', socket: id, message });
    });
  }

  #send(id: number, message: ClientMessage): void {
    if (this.#socket?.id === id && this.#socket.socket.readyState === WebSocket.OPEN) {
      this.#socket.socket.send(JSON.stringify(message));
    }
  }

  #request(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(new URL(path, this.#options.origin), {
      ...init,
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${this.#options.token}`,
      },
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
  }

  async #load(url: string, input: (body: unknown) => Input): Promise<void> {
    const answer = await this.#json(url);
    this.#dispatch(answer.ok ? input(answer.body) : { on: 'load_failed', status: answer.status });
  }

  /** Makes a request; status 0 means no answer. */
  async #json(
    url: string,
    init?: RequestInit,
  ): Promise<{ ok: boolean; status: number; body: unknown }> {
    try {
      const response = await this.#request(url, init);
      return { ok: response.ok, status: response.status, body: await response.json() };
    } catch {
      return { ok: false, status: 0, body: null };
    }
  }

  async #exchange(request: object): Promise<void> {
    const path = `/api/v1/attempts/${encodeURIComponent(this.#options.attemptId)}/exchange`;
    const init = { method: 'POST', body: JSON.stringify(request) };
    const { ok, status, body } = await this.#json(path, init);
    if (ok) return this.#dispatch({ on: 'exchanged', reply: body as ExchangeReply });
    const code = (body as { code?: string } | null)?.code;
    this.#dispatch({ on: 'exchange_failed', status, ...(code ? { code } : {}) });
  }

  async #fetchOutcome(): Promise<void> {
    const base = `/api/v1/attempts/${encodeURIComponent(this.#options.attemptId)}`;
    const [view, receipt, result] = await Promise.all([
      this.#json(base),
      this.#json(`${base}/receipt`),
      this.#json(`${base}/result`),
    ]);
    if (!view.ok) return this.#dispatch({ on: 'load_failed', status: view.status });
    const { status } = view.body as Pick<Outcome, 'status'>;
    this.#dispatch({
      on: 'outcome',
      outcome: {
        status,
        ...(receipt.ok ? { receipt: receipt.body } : {}),
        ...(result.ok ? { result: result.body as NonNullable<Outcome['result']> } : {}),
      },
    });
  }
}
