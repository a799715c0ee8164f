/** Whether a Docker daemon answers. Speaks HTTP to it, so that no docker client is needed. */
import { request } from "node:http";

const ANSWER_TIMEOUT_MS = 2000;

/** @returns {import("node:http").RequestOptions} */
function daemonAddress() {
  const host = process.env["DOCKER_HOST"] || "unix:///var/run/docker.sock";
  if (host.startsWith("unix://")) return { socketPath: host.slice("unix://".length) };
  const url = new URL(host.replace(/^tcp:/, "http:"));
  return { host: url.hostname, port: url.port || 2375 };
}

/** @returns {Promise<boolean>} */
export function dockerAnswers() {
  return new Promise((resolve) => {
    const ping = request(
      { ...daemonAddress(), path: "/_ping", timeout: ANSWER_TIMEOUT_MS },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    ping.on("timeout", () => ping.destroy(new Error("no answer")));
    ping.on("error", () => resolve(false));
    ping.end();
  });
}
