/**
 * How the studio becomes static files: `dist/studio`, with relative addresses, so that any server
 * may hand it out from any path. Nothing is inlined, neither scripts nor images, because the page
 * lives under `Content-Security-Policy: default-src 'self'`. Plain JavaScript: set-up builds it
 * under whatever Node there is, from 20 on.
 */
import { fileURLToPath } from 'node:url';

/** @type {import('vite').UserConfig} */
const config = {
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: fileURLToPath(new URL('../dist/studio', import.meta.url)),
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
  },
  worker: { format: 'es' },
};

export { config as default };
