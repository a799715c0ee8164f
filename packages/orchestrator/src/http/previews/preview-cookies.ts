import { PORT_TOKEN_COOKIE } from "@insien/protocol";

/**
 * Where a port shares its host name with others, browsers send it everybody's cookies. So there the
 * program's own are marked by a prefix of their names, and it gets no other.
 */
export interface CookieScope {
  /** Of the cookie that stands for a link. */
  ownName: string;
  /** Empty where the host name is the program's alone. */
  namePrefix: string;
  /** The path under which the program is found, without a slash at its end. */
  path: string;
}

export const HOST_SCOPE: CookieScope = { ownName: PORT_TOKEN_COOKIE, namePrefix: "", path: "" };

export const pathScope = (prefix: string, id: string, port: string): CookieScope => ({
  ownName: PORT_TOKEN_COOKIE,
  namePrefix: `insien.${port}-${id}.`,
  path: prefix,
});

export const externalScope = (external: number): CookieScope => ({
  ownName: `${PORT_TOKEN_COOKIE}_${external}`,
  namePrefix: `insien.${external}.`,
  path: "",
});

const OURS = new RegExp(`^(?:__Host-|__Secure-)?${PORT_TOKEN_COOKIE}`, "i");
const TOKENS_READ = 4;

/** The tokens among a visitor's cookies, and the cookies that are the program's, as it named them. */
export function readCookies(
  header: string | undefined,
  scope: CookieScope,
): { tokens: string[]; program: string | undefined } {
  const tokens: string[] = [];
  const program: string[] = [];
  for (const pair of (header ?? "").split(";")) {
    const text = pair.trim();
    const name = text.includes("=") ? text.slice(0, text.indexOf("=")).trim() : "";
    if (name === scope.ownName) tokens.push(text.slice(text.indexOf("=") + 1).trim());
    if (text === "" || OURS.test(text)) continue;
    if (scope.namePrefix === "") program.push(text);
    else if (name.startsWith(scope.namePrefix)) program.push(text.slice(scope.namePrefix.length));
  }
  // Browsers send the one set last for this path first; more than a few are somebody's trick.
  return {
    tokens: tokens.slice(0, TOKENS_READ),
    program: program.length === 0 ? undefined : program.join("; "),
  };
}

/** What the program wants to be remembered, confined to where it is; `undefined` for what may not be. */
export function confineCookie(setCookie: string, scope: CookieScope): string | undefined {
  const [pair = "", ...attributes] = setCookie.split(";");
  const name = pair.slice(0, Math.max(pair.indexOf("="), 0)).trim();
  // A cookie without a name is sent back as its bare value, which may look like any cookie.
  if (name === "" || OURS.test(name)) return undefined;
  const kept = attributes.filter((each) => !/^\s*domain\s*(?:=|$)/i.test(each));
  if (scope.namePrefix === "") return [pair, ...kept].join(";");
  const isPath = (each: string) => /^\s*path\s*(?:=|$)/i.test(each);
  const asked =
    kept
      .findLast(isPath)
      ?.replace(/^[^=]*=?\s*/, "")
      .trim() ?? "/";
  const path = `${scope.path}${asked.startsWith("/") ? asked : "/"}`;
  const others = kept.filter((each) => !isPath(each));
  return [`${scope.namePrefix}${pair.trim()}`, ...others, ` Path=${path}`].join(";");
}

/** The cookie that takes the place of a link's token. */
export function linkCookie(
  link: { token: string; expiresAt: Date },
  scope: CookieScope,
  options: { isSecure: boolean },
): string {
  const seconds = Math.max(Math.floor((link.expiresAt.getTime() - Date.now()) / 1000), 1);
  const secure = options.isSecure ? "; Secure" : "";
  const path = `Path=${scope.path}/`;
  return `${scope.ownName}=${link.token}; ${path}; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`;
}
