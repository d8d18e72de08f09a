// The engine under test, started for this run.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** How long a debug build may take to open its store. */
const START_TIMEOUT_MS = 60_000;

/** Starts `invigil` with these arguments, on a free port. */
export async function startEngine(...args) {
  const program = process.env.INVIGIL_BIN;
  if (!program) throw new Error('set INVIGIL_BIN to the program');

  const child = spawn(program, [...args, '--listen', '127.0.0.1:0'], {
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
