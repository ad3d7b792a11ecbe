import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

/** The bundle goes into the server's package, which serves it and whose wheel holds it. */
const BUNDLE = '../server/flowgram_server/gateway/console_bundle';

/** Where `npm run dev` finds a server. */
const SERVER = process.env['FLOWGRAM_SERVER'] ?? 'http://127.0.0.1:4000';

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: BUNDLE,
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0, // the content security policy allows no data: scripts or fonts
    chunkSizeWarningLimit: 1500,
    modulePreload: { polyfill: false }, // it would be an inline script
    license: { fileName: 'licenses.md' },
  },
  server: { proxy: { '/api': { target: SERVER } } },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
});
