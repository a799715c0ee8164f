import {
  entrypointAnswer,
  entrypointBody,
  environmentAnswer,
  environmentBody,
  sandboxIdParam,
} from "@insien/protocol";
import type { EntrypointSetting, EnvironmentSetting } from "../../app/settings.ts";
import { type App, type Door, principalOf, sandboxIdOf } from "../door.ts";
import { withErrors } from "../openapi.ts";

const tags = ["Settings"];

export function addSettingRoutes(app: App, door: Door): void {
  addEnvironment(app, door);
  addEntrypoint(app, door);
}

function addEnvironment(app: App, door: Door): void {
  const { settings } = door.application;
  const url = "/api/v1/sandboxes/:id/environment";

  app.route({
    method: "GET",
    url,
    // Whether the main command is older than it, only its own node knows for sure.
    config: { holder: "preferred" },
    schema: {
      tags,
      operationId: "getEnvironment",
      summary: "The variables that commands start with, values included",
      params: sandboxIdParam,
      response: withErrors({ 200: environmentAnswer }),
    },
    handler: async (request) => {
      const id = sandboxIdOf(request.params.id);
      return environmentView(await settings.environment(principalOf(request), id));
    },
  });

  app.route({
    method: "PATCH",
    url,
    schema: {
      tags,
      operationId: "updateEnvironment",
      summary: "Change the variables that commands start with, from the next one on",
      description:
        "They outlive stop, start and restart. A main command that runs keeps those that it was " +
        "started with: `restart_needed` says so.",
      params: sandboxIdParam,
      body: environmentBody,
      response: withErrors({ 200: environmentAnswer }),
    },
    handler: async (request) => {
      const { environment, merge = true } = request.body;
      const id = sandboxIdOf(request.params.id);
      const change = { environment, merge };
      return environmentView(await settings.setEnvironment(principalOf(request), id, change));
    },
  });
}

function addEntrypoint(app: App, door: Door): void {
  const { settings } = door.application;
  const url = "/api/v1/sandboxes/:id/entrypoint";

  app.route({
    method: "GET",
    url,
    config: { holder: "preferred" },
    schema: {
      tags,
      operationId: "getEntrypoint",
      summary: "What the main command is made of",
      params: sandboxIdParam,
      response: withErrors({ 200: entrypointAnswer }),
    },
    handler: async (request) => {
      const id = sandboxIdOf(request.params.id);
      return entrypointView(await settings.entrypoint(principalOf(request), id));
    },
  });

  app.route({
    method: "PUT",
    url,
    schema: {
      tags,
      operationId: "updateEntrypoint",
      summary: "Change the main command, from its next start on",
      description:
        "Two lists are put together and taken as they are; where one of them is text, both are a " +
        "line for `/bin/sh -c`. A sandbox that had no main command starts it at once.",
      params: sandboxIdParam,
      body: entrypointBody,
      response: withErrors({ 200: entrypointAnswer }),
    },
    handler: async (request) => {
      const { entrypoint, command } = request.body;
      const id = sandboxIdOf(request.params.id);
      const change = {
        ...(entrypoint === undefined ? {} : { entrypoint }),
        ...(command === undefined ? {} : { command }),
      };
      return entrypointView(await settings.setEntrypoint(principalOf(request), id, change));
    },
  });
}

const environmentView = ({ environment, restartNeeded }: EnvironmentSetting) => ({
  environment,
  restart_needed: restartNeeded,
});

const entrypointView = ({ entrypoint, command, restartNeeded }: EntrypointSetting) => ({
  entrypoint,
  command,
  restart_needed: restartNeeded,
});
