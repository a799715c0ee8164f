import type { ErrorCode, InsienError } from "@insien/protocol";

interface Page {
  title: string;
  advice: string;
  /** It may come right by itself. */
  isPassing?: true;
}

const RETRY_SECONDS = 2;

/** `port_not_listening` names its port in the message, which is below the title. */
const PAGES: Partial<Record<ErrorCode, Page>> = {
  port_not_listening: {
    title: "Nothing listens here yet",
    advice: "Start the program in the sandbox. This page tries again by itself.",
    isPassing: true,
  },
  port_silent: { title: "The program does not answer", advice: "Look at what it prints." },
  port_answer_invalid: {
    title: "The program's answer cannot be shown",
    advice: "It closed the connection, or speaks something other than HTTP.",
  },
  port_link_invalid: {
    title: "This address needs a link",
    advice:
      "Ask the owner of the sandbox for a link to this port, or send an API key in X-API-Key. " +
      "Links expire, and end with their sandbox.",
  },
  agent_unreachable: {
    title: "The sandbox cannot be reached",
    advice: "It is starting, or its connection is being restored. This page tries again by itself.",
    isPassing: true,
  },
  sandbox_state: {
    title: "The sandbox is not running",
    advice: "Start it, then load this page again.",
  },
  sandbox_failed: { title: "The sandbox failed", advice: "Create a new one." },
  machine_lost: { title: "The sandbox ended", advice: "Create a new one." },
  rate_limited: {
    title: "Too many requests at once",
    advice: "This page tries again by itself.",
    isPassing: true,
  },
};

const STYLE =
  ":root{color-scheme:light dark}body{margin:0;min-height:100vh;display:grid;place-items:center;" +
  "font:16px/1.6 system-ui,sans-serif;background:Canvas;color:CanvasText}" +
  "main{max-width:34rem;padding:2rem}h1{font-size:1.4rem;margin:0 0 .5rem}p{margin:.5rem 0}" +
  "code{font:.85rem/1.5 ui-monospace,monospace;opacity:.7;overflow-wrap:anywhere}";

/** Nothing is loaded and nothing runs; the page may be shown in a frame. */
export const PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'";

/** What a person sees in place of the program's page. It stands alone: no scripts, nothing loaded. */
export function previewPage(error: InsienError, requestId: string): string {
  const { title, advice, isPassing } = PAGES[error.code] ?? {
    title: "This did not work",
    advice: "Load the page again in a moment.",
  };
  const again = isPassing === true ? `<meta http-equiv="refresh" content="${RETRY_SECONDS}">` : "";
  return (
    `<!doctype html><html lang="en"><meta charset="utf-8">${again}` +
    '<meta name="viewport" content="width=device-width">' +
    `<title>${escaped(title)}</title><style>${STYLE}</style>` +
    `<main><h1>${escaped(title)}</h1><p>${escaped(error.message)}.</p><p>${escaped(advice)}</p>` +
    `<p><code>${escaped(error.code)} · ${escaped(requestId)}</code></p></main></html>`
  );
}

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const escaped = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
