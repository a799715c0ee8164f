import { expect, test } from "vitest";
import { assertReference } from "./image-reference.ts";

test.each([
  "debian",
  "debian:bookworm-slim",
  "library/python:3.12",
  "localhost:5000/a__b/c-d--e.f:V1.0_x",
  "ghcr.io/a/b@sha256:0123456789abcdef0123456789abcdef",
  "[::1]:5000/a",
  "Intranet/a",
])("%s names an image", (reference) => {
  expect(() => assertReference(reference)).not.toThrow();
});

test.each([
  "UPPER//x",
  "../../containers/json",
  "a/../../containers/json",
  "a/./b",
  "a//b",
  "/a",
  "a/",
  "a?all=1",
  "a#b",
  "a b",
  "a%2fb",
  "a\nb",
  "",
  `a${"-a".repeat(600)}`,
])("%j does not, and reaches no other address of the Engine", (reference) => {
  expect(() => assertReference(reference)).toThrow(/is not the name of an image/);
});
