import { spawnSync } from "node:child_process";
import type { Progress } from "@insien/runtime";
import { Bench } from "@insien/runtime/conformance";
import { mustHave } from "@insien/test-kit";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { bootstrapDebian } from "../src/debian-bootstrap.ts";
import { Engine } from "../src/engine.ts";
import { BASE_IMAGE, createDockerRuntime } from "../src/index.ts";
import { docker, dockerAnswers, kit } from "./docker-host.ts";
import { removeImage } from "./docker-images.ts";

const MINUTES = 60_000;
const engine = new Engine("/var/run/docker.sock");
const hasBootstrap = mustHave(
  spawnSync("mmdebstrap", ["--version"]).status === 0,
  "mmdebstrap and Debian's archive",
);

describe.skipIf(!dockerAnswers)("the base image", () => {
  test(
    "has what people and programs expect, and makes commands run as its user",
    async () => {
      await using bench = await Bench.open({
        create: (construction) => createDockerRuntime(construction),
        kit,
        template: { name: "base", image: BASE_IMAGE },
      });
      const machine = await bench.machine();
      expect(await machine.line.hello()).toMatchObject({ user: "user", home: "/home/user" });
      for (const command of ["bash", "python3", "pip", "git", "curl", "node", "npm"]) {
        const run = await machine.shell(`${command} --version || ${command} -V`, {
          timeoutMs: MINUTES,
        });
        expect(run, command).toMatchObject({ exitCode: 0 });
      }
      expect((await machine.shell("id --user")).stdout.trim()).toBe("1000");
    },
    10 * MINUTES,
  );
});

describe.skipIf(!dockerAnswers)("sudo in the base image", () => {
  test.each([
    [false, "does not work without allowSudo", /no new privileges/],
    [true, "makes root of the user with allowSudo", /^0$/m],
  ])(
    "allowSudo %j: it %s",
    async (allowSudo, _, printed) => {
      await using bench = await Bench.open({
        create: (construction) => createDockerRuntime({ ...construction, allowSudo }),
        kit,
        template: { name: "base", image: BASE_IMAGE },
      });
      const machine = await bench.machine();
      const { stdout, stderr } = await machine.shell("sudo id --user");
      expect(stdout + stderr).toMatch(printed);
    },
    10 * MINUTES,
  );
});

describe.skipIf(!dockerAnswers)("a Debian image where none can be pulled", () => {
  test.skipIf(!hasBootstrap)(
    "is made from Debian's archive",
    async () => {
      const image = "insien-test/bootstrapped:1";
      onTestFinished(() => removeImage(image));
      const progress: Progress[] = [];
      await bootstrapDebian(engine, image, { onProgress: (step) => void progress.push(step) });
      expect(progress.length).toBeGreaterThan(0);
      const info = await docker.getImage(image).inspect();
      expect(info.Config.Cmd).toEqual(["bash"]);
      await using bench = await Bench.open({
        create: (construction) => createDockerRuntime(construction),
        kit,
        template: { name: "debian", image },
      });
      const machine = await bench.machine();
      expect((await machine.shell("cat /etc/os-release")).stdout).toContain("bookworm");
    },
    10 * MINUTES,
  );

  test("says what to install when mmdebstrap is missing", async () => {
    vi.stubEnv("PATH", "/nowhere");
    onTestFinished(() => void vi.unstubAllEnvs());
    await expect(bootstrapDebian(engine, "insien-test/never:1")).rejects.toMatchObject({
      code: "image_unavailable",
      message: expect.stringContaining("apt-get install mmdebstrap"),
    });
  });
});
