import { createConnection } from "node:net";
import { LINE_UPGRADE } from "@insien/protocol";
import type { Carrier } from "./line.ts";
import { readUpgradeHead } from "./upgrade-head.ts";

/** `readToken` is asked at each dial, since the token file may be replaced. */
export function unixCarrier(path: string, machineId: string, readToken: () => string): Carrier {
  return async (signal) => {
    // What is tunnelled through the line may end in one direction and go on in the other.
    const socket = createConnection({ path, allowHalfOpen: true });
    const abort = (): void => void socket.destroy();
    signal.addEventListener("abort", abort, { once: true });
    socket.on("error", () => socket.destroy());
    try {
      socket.write(
        `GET /line/${machineId} HTTP/1.1\r\nHost: insien\r\nConnection: Upgrade\r\n` +
          `Upgrade: ${LINE_UPGRADE}\r\nAuthorization: Bearer ${readToken()}\r\n\r\n`,
      );
      await readUpgradeHead(socket);
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  };
}
