import {
  type VolumeView,
  createVolumeBody,
  volumeList,
  volumeParam,
  volumeView,
} from "@insien/protocol";
import { z } from "zod";
import type { Volume } from "../../app/volumes.ts";
import { type App, type Door, principalOf } from "../door.ts";
import { withErrors } from "../openapi.ts";
import { sizeText } from "../size-text.ts";

const tags = ["Volumes"];
const deletedAnswer = z.object({ deleted: z.boolean() });

export function addVolumeRoutes(app: App, door: Door): void {
  const { volumes } = door.application;
  const oneVolume = "/api/v1/volumes/:volume";

  app.route({
    method: "GET",
    url: "/api/v1/volumes",
    schema: {
      tags,
      operationId: "listVolumes",
      summary: "List your network volumes, newest first",
      response: withErrors({ 200: volumeList }),
    },
    handler: async (request) => ({
      items: (await volumes.list(principalOf(request))).map(view),
    }),
  });

  app.route({
    method: "POST",
    url: "/api/v1/volumes",
    schema: {
      tags,
      operationId: "createVolume",
      summary: "Create a network volume, which sandboxes can share",
      body: createVolumeBody,
      response: withErrors({ 201: volumeView }),
    },
    handler: async (request, reply) => {
      const volume = await volumes.create(principalOf(request), request.body);
      return reply.code(201).header("location", `/api/v1/volumes/${volume.id}`).send(view(volume));
    },
  });

  app.route({
    method: "GET",
    url: oneVolume,
    schema: {
      tags,
      operationId: "getVolume",
      summary: "Get one network volume, by name or id",
      params: volumeParam,
      response: withErrors({ 200: volumeView }),
    },
    handler: async (request) =>
      view(await volumes.get(principalOf(request), request.params.volume)),
  });

  app.route({
    method: "DELETE",
    url: oneVolume,
    schema: {
      tags,
      operationId: "deleteVolume",
      summary: "Delete a network volume and its files; refused while a sandbox mounts it",
      params: volumeParam,
      response: withErrors({ 200: deletedAnswer }),
    },
    handler: async (request) => {
      await volumes.delete(principalOf(request), request.params.volume);
      return { deleted: true };
    },
  });
}

const view = (volume: Volume): VolumeView => ({
  id: volume.id,
  name: volume.name,
  type: volume.type,
  driver: volume.driver,
  size: volume.sizeBytes === undefined ? undefined : sizeText(volume.sizeBytes),
  mount_path: volume.mountPath,
  node_id: volume.nodeId,
  created_at: volume.createdAt.toISOString(),
  mounts: volume.mounts.map(({ sandboxId, mountPath, readOnly }) => ({
    sandbox_id: sandboxId,
    mount_path: mountPath,
    read_only: readOnly,
  })),
});
