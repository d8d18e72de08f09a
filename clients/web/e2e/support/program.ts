/** Programs that a test starts, and stops by their process id. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';

/** A debug build opens its store more slowly than anybody would wait for. */
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;

interface Command {
  file: string;
  args: string[];
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Finds the address that the program listens on in a line of its output. */
  address: RegExp;
  /** The file for everything else that it says. */
  log: string;
}

/** A running program. */
export interface Program {
  address: string;
  /** Ends it, and returns its exit code: null where the signal ended it. */
  stop(): Promise<number | null>;
}

/** Starts a program, and waits until it says where it listens. */
export async function start({ file, args, cwd, env, address, log }: Command): Promise<Program> {
  mkdirSync(path.dirname(log), { recursive: true });
  const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stderr.pipe(createWriteStream(log, { flags: 'a' }));
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  const name = path.basename(file);
  const said = new Promise<string>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      const found = address.exec(line)?.[1];
      if (found !== undefined) resolve(found);
    });
  });
  /** Ends the program by force where what is waited for does not come. */
  const orKill = async <T>(...races: Promise<T>[]): Promise<T> => {
    try {
      return await Promise.race(races);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  };
  return {
    address: await orKill(
      said,
      ended.then((code) => Promise.reject(new Error(`${name} ended with ${code}: see ${log}`))),
      after(START_TIMEOUT_MS, `${name} did not say where it listens: see ${log}`),
    ),
    stop() {
      child.kill('SIGTERM');
      return orKill(ended, after(STOP_TIMEOUT_MS, `${name} did not end: see ${log}`));
    },
  };
}

async function after(ms: number, complaint: string): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, ms).unref());
  throw new Error(`after ${ms} ms: ${complaint}`);
}
