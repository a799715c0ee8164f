import { sendNodeHttp } from "./node-http.ts";
import { openNodeSocket } from "./node-socket.ts";
import type { Platform } from "./platform.ts";

export const platform: Platform = {
  environment: (name) => process.env[name] || undefined,
  openSocket: openNodeSocket,
  sendHttp: sendNodeHttp,
  unref: (timer) => timer.unref(),
  seesRefusals: true,
};
