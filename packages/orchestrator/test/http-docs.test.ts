import { createSandboxBody, sandboxView } from "@insien/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { type OpenApiDocument, operationsOf } from "../src/http/openapi.ts";
import { type HttpFixture, startHttpFixture } from "./http-fixture.ts";

let fixture: HttpFixture;
let document: OpenApiDocument;
beforeAll(async () => {
  fixture = await startHttpFixture();
  document = (await (await fetch(`${fixture.url}/openapi.json`)).json()) as OpenApiDocument;
});
afterAll(async () => {
  await fixture[Symbol.asyncDispose]();
});

test("the document holds every route of the list, and no other", () => {
  const ofTheApi = fixture.server.routes.filter(({ documented: isDocumented }) => isDocumented);
  const listed = ofTheApi.map(
    ({ method, url }) => `${method} ${url.replaceAll(/:(\w+)/g, "{$1}")}`,
  );
  const documented = operationsOf(document).map(
    ({ method, path }) => `${method.toUpperCase()} ${path}`,
  );
  expect(documented.toSorted()).toEqual(listed.toSorted());
  expect(document.openapi).toBe("3.1.0");
});

test("every operation has an id of its own, a summary, answers, and says when it is open", () => {
  const operations = operationsOf(document);
  const ids = operations.map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(operations.length);
  for (const { path, method, operation } of operations) {
    expect(operation.summary, `${method} ${path}`).toBeTruthy();
    expect(Object.keys(operation.responses ?? {}).length).toBeGreaterThan(0);
    const { auth } = fixture.server.routes.find(
      ({ url }) => url.replaceAll(/:(\w+)/g, "{$1}") === path,
    ) ?? { auth: "key" };
    expect([path, operation.security?.length]).toEqual([path, auth === "open" ? 0 : undefined]);
  }
});

test("its schemas are the ones that validate", () => {
  const { schemas = {} } = document.components ?? {};
  const { examples, ...create } = schemas["CreateSandboxInput"] as Record<string, unknown>;
  expect(create).toEqual(generated(createSandboxBody, "input"));
  expect(createSandboxBody.parse((examples as unknown[])[0])).toBeDefined();
  expect(schemas["Sandbox"]).toEqual(generated(sandboxView, "output"));
});

test("every reference in it leads somewhere, and nothing is in it for nothing", () => {
  const text = JSON.stringify(document);
  const references = new Set(text.match(/(?<=#\/components\/schemas\/)\w+/g));
  expect([...references].toSorted()).toEqual(
    Object.keys(document.components?.schemas ?? {}).toSorted(),
  );
});

test("bodies that may be absent are said to be optional", () => {
  const required = (path: string) => {
    const body = document.paths?.[path]?.post?.requestBody;
    return body !== undefined && "required" in body && body.required;
  };
  expect(required("/sandbox/create")).toBe(false);
  expect(required("/api/v1/sandboxes/{id}/exec")).toBe(true);
});

test("the page shows every operation and fetches nothing", async () => {
  const response = await fetch(`${fixture.url}/docs`);
  expect([response.status, response.headers.get("content-type")]).toEqual([
    200,
    "text/html; charset=utf-8",
  ]);
  const page = await response.text();
  for (const { method, path, operation } of operationsOf(document)) {
    expect(page).toContain(`<span class="method">${method.toUpperCase()}</span>${path}`);
    expect(page).toContain(String(operation.summary).split("`")[0]);
  }
  expect(page).toContain(`-d '{"shell":"uname -a; id"}'`.replaceAll('"', "&quot;"));
  expect(page).not.toMatch(/<script|https?:\/\/|undefined|\[object/);
  expect(response.headers.get("content-security-policy")).toMatch(/style-src 'sha256-/);
});

function generated(schema: z.ZodType, io: "input" | "output"): Record<string, unknown> {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
}
