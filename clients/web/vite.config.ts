/// <reference types="node" />

import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

/** The engine that `npm run dev` stands before. */
const ENGINE = process.env['INVIGIL_ENGINE'] ?? 'http://127.0.0.1:8080';

/** Paths that an engine serves besides the pages. */
const ENGINE_PATHS = ['/api', '/ws', '/asyncapi.json', '/schemas', '/healthz', '/readyz'];

const page = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** Every browser that runs these pages reads WOFF2; KaTeX offers two older forms of each
 * font besides, which would only make the program bigger. */
const woff2Only: Plugin = {
  name: 'woff2-only',
  enforce: 'pre',
  transform(code, id) {
    if (!id.endsWith('katex.min.css')) return null;
    return code.replaceAll(/,url\([^)]*\.(?:woff|ttf)\) format\("[^"]*"\)/g, '');
  },
};

/** Says at the start of `npm run dev` which engine the pages talk to, and whether it is there. */
const announceEngine: Plugin = {
  name: 'announce-engine',
  configureServer({ config, httpServer }) {
    httpServer?.once('listening', () => {
      fetch(`${ENGINE}/healthz`).then(
        () => config.logger.info(`  engine: ${ENGINE}`),
        () =>
          config.logger.warn(
            `no engine at ${ENGINE}: start one with \`make demo\`, or name it in INVIGIL_ENGINE`,
          ),
      );
    });
  },
};

export default defineConfig({
  plugins: [woff2Only, announceEngine],
  build: {
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { input: [page('index.html'), page('attempt.html')] },
  },
  server: {
    host: '127.0.0.1',
    // The engine compares `Origin` with `Host`, and sets its cookie for the host that the
    // browser sees: so both are left as they are.
    proxy: Object.fromEntries(
      ENGINE_PATHS.map((path) => [path, { target: ENGINE, ws: path === '/ws' }]),
    ),
  },
});
