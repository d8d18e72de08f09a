/** `npm run dev`, before an engine under test. */

import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { start } from './program';

const WEB = fileURLToPath(new URL('../..', import.meta.url));
const VITE = createRequire(import.meta.url).resolve('vite/package.json');

/** A running development server. */
export interface DevServer {
  url: string;
  stop(): Promise<void>;
}

/** Starts the development server on a free port. */
export async function startDevServer(engineUrl: string, log: string): Promise<DevServer> {
  // The runner asks for colors, which would stand within the address.
  const { FORCE_COLOR: _, ...env } = process.env;
  const program = await start({
    file: process.execPath,
    args: [path.join(path.dirname(VITE), 'bin/vite.js'), '--port', '0'],
    cwd: WEB,
    env: { ...env, INVIGIL_ENGINE: engineUrl, NO_COLOR: '1' },
    address: /Local:\s+(\S+)/,
    log,
  });
  return {
    url: program.address,
    async stop() {
      await program.stop();
    },
  };
}
