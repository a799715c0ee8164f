import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Progress } from "@insien/runtime";
import { Bench } from "@insien/runtime/conformance";
import { mustHave } from "@insien/test-kit";
import { describe, expect, onTestFinished, test } from "vitest";
import { createDockerRuntime } from "../src/index.ts";
import { dockerAnswers, kit } from "./docker-host.ts";
import {
  importDirectory,
  importEmpty,
  importMusl,
  pushAndForget,
  removeImage,
  startRegistry,
} from "./docker-images.ts";

const hasRegistry = mustHave(existsSync("/usr/bin/docker-registry"), "Debian's docker-registry");
const MiB = 1024 * 1024;

async function openBench(image: string): Promise<Bench> {
  const create = (construction: { ownerId: string; kit: Awaited<ReturnType<typeof kit>> }) =>
    createDockerRuntime(construction);
  return await Bench.open({ create, kit, template: { name: "test", image } });
}

describe.skipIf(!dockerAnswers)("any image becomes a machine", () => {
  test("one with musl and busybox", async () => {
    const image = await importMusl();
    onTestFinished(() => removeImage(image));
    await using bench = await openBench(image);
    const machine = await bench.machine();
    const run = await machine.shell("echo hello; ls /lib/ld-musl-*");
    expect(run.stdout).toMatch(/^hello\n\/lib\/ld-musl-/);
    expect(run.exitCode).toBe(0);
  });

  test("an empty one, where there is no shell to run", async () => {
    const image = await importEmpty();
    onTestFinished(() => removeImage(image));
    await using bench = await openBench(image);
    const machine = await bench.machine();
    await machine.line.rpc("write", { path: "/hello.txt", content: "hello" });
    expect((await machine.line.rpc("read", { path: "/hello.txt" })).content).toBe("hello");
    await expect(machine.shell("true")).rejects.toThrow(/command_not_found/);
  });

  test("one with a USER and an entrypoint of its own, neither of which runs the agent", async () => {
    const directory = await mkdtemp(join(tmpdir(), "insien-test-user-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    await writeFile(join(directory, "file"), "x");
    const changes = ["USER 1234:1234", 'ENTRYPOINT ["/no/such/program"]', "ENV FROM_IMAGE=yes"];
    const image = await importDirectory(directory, "user", changes);
    onTestFinished(() => removeImage(image));
    await using bench = await openBench(image);
    expect(bench.template.user).toBe("1234");
    const machine = await bench.machine();
    expect((await machine.line.hello()).user).toBe("1234");
  });
});

describe.skipIf(!dockerAnswers)("what is not the name of an image", () => {
  test.each(["UPPER//x", "../containers/json"])("is refused: %s", async (image) => {
    await expect(openBench(image)).rejects.toMatchObject({ code: "invalid_request" });
  });
});

describe.skipIf(!dockerAnswers)("an image with a label of ours", () => {
  test("is refused: its machines would inherit it", async () => {
    const directory = await mkdtemp(join(tmpdir(), "insien-test-label-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    const image = await importDirectory(directory, "label", ["LABEL insien.helper=yes"]);
    onTestFinished(() => removeImage(image));
    await expect(openBench(image)).rejects.toMatchObject({
      code: "image_unavailable",
      message: expect.stringContaining("insien.helper"),
    });
  });
});

describe.skipIf(!dockerAnswers || !hasRegistry)("pulling", () => {
  test("an absent image is pulled with its progress told", async () => {
    await using registry = await startRegistry();
    const directory = await mkdtemp(join(tmpdir(), "insien-test-pull-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    await writeFile(join(directory, "ballast"), randomBytes(24 * MiB));
    const image = await pushAndForget(registry, await importDirectory(directory, "pulled"));
    onTestFinished(() => removeImage(image));
    const registries = [registry.host];
    const runtime = createDockerRuntime({ ownerId: "testimages", kit: await kit(), registries });
    const progress: Progress[] = [];
    const onProgress = (step: Progress) => void progress.push(step);
    const prepared = await runtime.prepare({ name: "pulled", image }, { onProgress });
    expect(prepared.fingerprint).toMatch(/^sha256:[0-9a-f]{64}@/);
    expect(new Set(progress.map(({ step }) => step))).toEqual(new Set(["pull"]));
    const last = progress.findLast(({ total }) => total !== undefined);
    expect(last?.current).toBe(last?.total);
    expect(last?.total).toBeGreaterThan(20 * MiB);

    progress.length = 0;
    const again = await runtime.prepare({ name: "pulled", image }, { onProgress });
    expect(again).toEqual(prepared);
    expect(progress).toEqual([]);
  });

  test("an image that the registry does not have is unavailable, in the registry's words", async () => {
    await using registry = await startRegistry();
    const registries = [registry.host];
    const runtime = createDockerRuntime({ ownerId: "testimages", kit: await kit(), registries });
    const image = `${registry.host}/insien-test/missing:1`;
    await expect(runtime.prepare({ name: "missing", image })).rejects.toMatchObject({
      code: "image_unavailable",
      message: expect.stringMatching(/insien-test\/missing:1.*(manifest unknown|not found)/s),
    });
  });

  test("a registry that does not answer makes the image unavailable", async () => {
    const registries = ["127.0.0.1:1"];
    const runtime = createDockerRuntime({ ownerId: "testimages", kit: await kit(), registries });
    const image = "127.0.0.1:1/insien-test/missing:1";
    await expect(runtime.prepare({ name: "missing", image })).rejects.toMatchObject({
      code: "image_unavailable",
      message: expect.stringContaining("connection refused"),
    });
  });
});
