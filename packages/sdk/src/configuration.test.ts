import { afterEach, describe, expect, test, vi } from "vitest";
import { resolveConfiguration } from "./configuration.ts";

afterEach(() => vi.unstubAllEnvs());

describe("configuration", () => {
  test("the option comes before the environment, and that before the default", () => {
    vi.stubEnv("INSIEN_API_KEY", "from-environment");
    vi.stubEnv("INSIEN_API_URL", "https://insien.example/");
    expect(resolveConfiguration({})).toMatchObject({
      apiKey: "from-environment",
      apiUrl: "https://insien.example",
    });
    expect(resolveConfiguration({ apiKey: "mine", apiUrl: "http://other:1" })).toMatchObject({
      apiKey: "mine",
      apiUrl: "http://other:1",
    });
  });

  test("an empty variable counts as unset", () => {
    vi.stubEnv("INSIEN_API_URL", "");
    expect(resolveConfiguration({ apiKey: "k" }).apiUrl).toBe("http://localhost:3000");
  });

  test("no key is an error that says where to put one", () => {
    vi.stubEnv("INSIEN_API_KEY", "");
    expect(() => resolveConfiguration({})).toThrow(/pass apiKey or set INSIEN_API_KEY/);
  });

  test("an address that is none is named", () => {
    expect(() => resolveConfiguration({ apiKey: "k", apiUrl: "localhost:3000" })).toThrow(
      /apiUrl is "localhost:3000"/,
    );
  });
});
