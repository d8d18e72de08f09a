// The engine under test: the one at BASE_URL, or a demo that is started for this run.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** How long a debug build may take to open its store. */
const START_TIMEOUT_MS = 60_000;

export async function startEngine() {
  if (process.env.BASE_URL) return { url: process.env.BASE_URL, stop: async () => undefined };
  const program = process.env.INVIGIL_BIN;
  if (!program) throw new Error('set INVIGIL_BIN to the program, or BASE_URL to a running demo');

  const child = spawn(program, ['demo', '--listen', '127.0.0.1:0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const url = await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('the engine did not start')), START_TIMEOUT_MS);
    child.once('error', reject);
    void exited.then((code) => reject(new Error(`the engine ended with ${code}`)));
    createInterface(child.stdout).on('line', (line) => {
      const address = /^listening on (\S+)/.exec(line)?.[1];
      if (!address) return;
      clearTimeout(late);
      resolve(`http://${address}`);
    });
  });
  return {
    url,
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
