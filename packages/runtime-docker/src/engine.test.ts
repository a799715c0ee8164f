import { expect, test } from "vitest";
import { Engine } from "./engine.ts";

const engine = new Engine("/no/such/docker.sock");
const answered = (statusCode: number, message: string): Error =>
  Object.assign(new Error(message), { statusCode, json: null });

test("an engine's sentence is told without dockerode's status line", () => {
  const cause = answered(
    500,
    "(HTTP code 500) server error - Get https://r.example/v2/: no such host ",
  );
  expect(engine.failure("image_unavailable", "pulling x", cause)).toMatchObject({
    code: "image_unavailable",
    message: "pulling x failed: Get https://r.example/v2/: no such host",
  });
});

test("what cannot be an image's name is the caller's mistake", () => {
  const cause = answered(
    400,
    "(HTTP code 400) bad parameter - no such image: Bad:latest: invalid reference format: repository name must be lowercase",
  );
  expect(engine.failure("internal", "looking for the image Bad", cause)).toMatchObject({
    code: "invalid_request",
    message: expect.stringContaining("must be lowercase"),
  });
});
