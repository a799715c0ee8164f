import type { App, Door } from "../door.ts";
export function addFileRoutes(_app: App, _door: Door): void {}
