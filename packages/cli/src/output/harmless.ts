/**
 * What a sandbox, an agent or a server says must not move the cursor of who reads it, nor set a title
 * or fill a clipboard. Colours are the only sequences that are left: those of our own, and they do no
 * harm. What a command prints is another thing: it comes through as it is, as from any other shell.
 */
const CONTROLS = /[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[\d+m)/g;
const REPLACEMENT = "\u{fffd}";

/** Lines and tabs stay. */
export const harmless = (text: string): string => text.replaceAll(CONTROLS, REPLACEMENT);

export const harmlessLine = (text: string): string =>
  harmless(text).replaceAll(/[\t\n]/g, REPLACEMENT);

/** The same value to whoever reads JSON: terminals know controls that it leaves as they are. */
export const harmlessJson = (json: string): string =>
  json.replaceAll(
    /[\x7f-\x9f]/g,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
