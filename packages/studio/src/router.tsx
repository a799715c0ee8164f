import {
  createRootRoute,
  createRoute,
  createRouter,
  Outlet,
  redirect,
} from "@tanstack/react-router";
import { Frame } from "./frame/frame.tsx";
import { LostPage } from "./frame/lost-page.tsx";
import { Unreachable } from "./frame/unreachable.tsx";
import { KeysPage } from "./keys/keys-page.tsx";
import { SandboxPage } from "./sandbox/sandbox-page.tsx";
import { SandboxesPage } from "./sandboxes/sandboxes-page.tsx";
import { isSignedIn } from "./session/session.ts";
import { SignInPage } from "./session/sign-in-page.tsx";
import { SettingsPage } from "./settings/settings-page.tsx";

const root = createRootRoute({ component: Outlet, notFoundComponent: LostPage });

/** A path of this page, and nothing that leads elsewhere. */
const ownPath = (value: unknown): string | undefined =>
  typeof value === "string" && /^\/(?![/\\])/.test(value) ? value : undefined;

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  validateSearch: (search: Record<string, unknown>): { to?: string } => {
    const to = ownPath(search["to"]);
    return to === undefined ? {} : { to };
  },
  beforeLoad: async ({ search }) => {
    if (await isSignedIn()) redirect({ throw: true, to: search.to ?? "/sandboxes" });
  },
  errorComponent: Unreachable,
  component: SignInPage,
});

/** What is for people who signed in, inside the frame. */
const inside = createRoute({
  getParentRoute: () => root,
  id: "inside",
  beforeLoad: async ({ location }) => {
    if (await isSignedIn()) return;
    redirect({
      throw: true,
      to: "/sign-in",
      search: location.pathname === "/" ? {} : { to: location.pathname },
    });
  },
  errorComponent: Unreachable,
  component: Frame,
});

const home = createRoute({
  getParentRoute: () => inside,
  path: "/",
  beforeLoad: () => {
    redirect({ throw: true, to: "/sandboxes" });
  },
});
const sandboxes = createRoute({
  getParentRoute: () => inside,
  path: "/sandboxes",
  validateSearch: (search: Record<string, unknown>): { create?: boolean } =>
    search["create"] === true ? { create: true } : {},
  component: SandboxesPage,
});
const sandbox = createRoute({
  getParentRoute: () => inside,
  path: "/sandboxes/$id",
  component: SandboxPage,
});
const keys = createRoute({ getParentRoute: () => inside, path: "/keys", component: KeysPage });
const settings = createRoute({
  getParentRoute: () => inside,
  path: "/settings",
  component: SettingsPage,
});

const routeTree = root.addChildren([
  signIn,
  inside.addChildren([home, sandboxes, sandbox, keys, settings]),
]);

export const createStudioRouter = () =>
  createRouter({ routeTree, scrollRestoration: true, defaultPendingMs: 300 });

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createStudioRouter>;
  }
}
