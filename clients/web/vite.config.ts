import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

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

export default defineConfig({
  plugins: [woff2Only],
  build: {
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: { input: [page('index.html'), page('attempt.html')] },
  },
  server: {
    // `npx vite` beside a running `invigil demo`.
    proxy: {
      '/api': 'http://127.0.0.1:8080',
      '/ws': { target: 'http://127.0.0.1:8080', ws: true },
    },
  },
});
