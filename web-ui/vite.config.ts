// How the bundle is made. The output is committed and compared by CI, so it may depend on nothing but the sources and
// package-lock.json: no dates, no hashes of paths.
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react()],
  base: "/",
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    // A data: address would need a hole in the policy of the page.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    cssCodeSplit: true,
    sourcemap: false,
    rolldownOptions: {
      output: {
        // What the first view needs is one file beside the entry; what comes later stays apart.
        codeSplitting: {
          groups: [
            { name: "page", test: /node_modules\/(react|react-dom|scheduler|@tanstack|marked|idb)\/|web-ui\/src\/(ui|state|net|app|protocol)|vite\/(preload|modulepreload)/ },
          ],
        },
      },
    },
  },
  test: { include: ["test/**/*.test.ts"], environment: "node" },
});
