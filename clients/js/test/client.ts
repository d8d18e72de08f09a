/**
 * A client for tests: the core with a clock and a chance of its own, and shorthands for the
 * engine's messages. It performs no effect; a test reads them.
 */

import type { Command, ServerMessage, Welcome } from '../src/messages';
import type { Paper, StoredAnswer } from '../src/paper';
import { reduce } from '../src/reduce';
import { initialState, type Effect, type Env, type Input, type State } from '../src/state';

export const PAPER: Paper = {
  version: 'sha256:p',
  sections: [
    {
      id: 's1',
      title: 'One',
      questions: ['q1', 'q2', 'q3'].map((id) => ({
        id,
        type: 'short_answer' as const,
        content: id,
        points: 1,
      })),
    },
  ],
};

export function welcome(changes: Partial<Welcome> = {}): Welcome {
  return {
    t: 'welcome',
    session: 's-1',
    resumed: false,
    now_at: 1_000,
    attempt: {
      id: '7',
      status: 'in_progress',
      exam: { code: 'X', title: 'Exam', instructions: '' },
      started_at: 0,
      deadline_at: 61_000,
      remaining_ms: 60_000,
      timing_rev: 1,
      grace_ms: 0,
    },
    health: 10,
    saved_seq: 0,
    applied_seq: 0,
    paper: { version: 'sha256:p', url: '/paper', sealed: false },
    record: { version: 1, url: '/answers' },
    notices: [],
    limits: {
      heartbeat_ms: 10_000,
      frame_bytes: 16_384,
      answer_bytes: 1_048_576,
      commands_per_s: 20,
      burst: 40,
      unsaved: 256,
    },
    ...changes,
  };
}

export class Client {
  state: State = initialState('7');
  effects: Effect[] = [];
  env: Env = { now: 0, wall: 5_000, random: 0.5, visible: true, focused: true, fullscreen: false };

  /** Makes an input; `effects` has its effects alone. */
  do(input: Input): this {
    [this.state, this.effects] = reduce(this.state, input, { ...this.env });
    return this;
  }

  wait(ms: number): this {
    this.env.now += ms;
    return this;
  }

  hear(message: ServerMessage): this {
    return this.do({ on: 'message', socket: this.state.socket, message });
  }

  close(code: number): this {
    return this.do({ on: 'closed', socket: this.state.socket, code });
  }

  /** Opens the next socket and hears `message`. */
  greeted(message: Welcome): this {
    if (this.state.link.kind !== 'connecting') this.do({ on: 'timer', timer: 'connect' });
    return this.do({ on: 'opened', socket: this.state.socket }).hear(message);
  }

  /** Delivers stored answers, as a node has them that knows of `owner`. */
  record(
    answers: Record<string, StoredAnswer>,
    saved_seq = 0,
    owner = this.state.session ?? '',
  ): this {
    const { session } = this.state;
    return this.do({ on: 'record', session, stored: { session: owner, saved_seq, answers } });
  }

  /** Brings an attempt under way, with these answers stored. */
  live(answers: Record<string, StoredAnswer> = {}): this {
    this.do({ on: 'start', stored: null }).greeted(welcome());
    return this.do({ on: 'paper', document: PAPER }).record(answers);
  }

  edit(q: string, value: string, hold = false): this {
    return this.do({ on: 'edit', q, value, hold });
  }

  /** Returns the commands that the last input sent over the socket. */
  get sent(): Command[] {
    return this.effects.flatMap((effect) =>
      effect.do === 'send' && 'seq' in effect.message ? [effect.message] : [],
    );
  }

  /** Returns the last input's effects of one kind. */
  all<D extends Effect['do']>(kind: D): Extract<Effect, { do: D }>[] {
    return this.effects.filter((effect) => effect.do === kind) as Extract<Effect, { do: D }>[];
  }

  /** Returns the delay of a timer that the last input set. */
  timer(name: string): number | undefined {
    return this.all('timer').findLast(({ timer }) => timer === name)?.ms;
  }
}

/** Returns `seq q value` of each command, for short expectations. */
export function brief(commands: Command[]): string[] {
  return commands.map((command) => {
    switch (command.t) {
      case 'answer': {
        const base = command.base_rev === undefined ? '' : ` base ${command.base_rev}`;
        return `${command.seq} ${command.q}=${String(command.value).slice(0, 20)}${base}`;
      }
      case 'flag':
        return `${command.seq} ${command.q} ${command.on ? 'flag' : 'unflag'}`;
      case 'submit':
        return `${command.seq} submit`;
    }
  });
}
