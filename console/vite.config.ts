import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { constants, gzipSync } from 'node:zlib';
import react from '@vitejs/plugin-react';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** The bundle goes into the server's package, which serves it and whose wheel holds it. */
const BUNDLE = fileURLToPath(new URL('../server/flowgram_server/gateway/console_bundle', import.meta.url));

/** Where `npm run dev` finds a server. */
const SERVER = process.env['CONSOLE_SERVER'] ?? 'http://127.0.0.1:4000';

/** Puts a compressed file beside each that becomes smaller by it, so that the server compresses nothing. */
function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    closeBundle() {
      for (const entry of readdirSync(BUNDLE, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(js|css|html|svg|md)$/.test(entry.name)) continue;
        const path = `${entry.parentPath}/${entry.name}`;
        const content = readFileSync(path);
        const small = gzipSync(content, { level: constants.Z_BEST_COMPRESSION });
        if (small.length < content.length) writeFileSync(`${path}.gz`, small);
      }
    },
  };
}

export default defineConfig({
  plugins: [react(), compressed()],
  build: {
    outDir: BUNDLE,
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0, // the content security policy allows no data: scripts or fonts
    chunkSizeWarningLimit: 2000,
    modulePreload: { polyfill: false }, // it would be an inline script
    license: { fileName: 'licenses.md' },
    rolldownOptions: { input: ['index.html', 'docs.html'] },
  },
  server: { proxy: { '/api': { target: SERVER } } },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
});
