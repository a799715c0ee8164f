import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  resolve: { conditions: ["source", "browser", "module"] },
  build: {
    // Those that know light-dark() by themselves.
    target: ["chrome123", "edge123", "firefox120", "safari17.5"],
    // A data: address would need an exception in the page's policy.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 900,
  },
});
