import {
  type MountAnswer,
  type MountView,
  mountAnswer,
  mountBody,
  mountList,
  sandboxIdParam,
  volumeParam,
} from "@insien/protocol";
import type { Mount, MountChange } from "../../app/volumes.ts";
import { type App, type Door, principalOf, sandboxIdOf } from "../door.ts";
import { withErrors } from "../openapi.ts";

const tags = ["Volumes"];
const oneMountParams = sandboxIdParam.extend(volumeParam.shape);

export function addMountRoutes(app: App, door: Door): void {
  const { mounts } = door.application;
  const ofSandbox = "/api/v1/sandboxes/:id/volumes";

  app.route({
    method: "GET",
    url: ofSandbox,
    config: { holder: "unneeded" },
    schema: {
      tags,
      operationId: "listMounts",
      summary: "List the volumes of a sandbox, by path",
      params: sandboxIdParam,
      response: withErrors({ 200: mountList }),
    },
    handler: async (request) => {
      const list = await mounts.list(principalOf(request), sandboxIdOf(request.params.id));
      return { items: list.map(view) };
    },
  });

  app.route({
    method: "POST",
    url: ofSandbox,
    schema: {
      tags,
      operationId: "mountVolume",
      summary: "Mount a network volume; `restarted` says whether programs were ended for it",
      params: sandboxIdParam,
      body: mountBody,
      response: withErrors({ 200: mountAnswer }),
    },
    handler: async (request) => {
      const id = sandboxIdOf(request.params.id);
      return answer(await mounts.mount(principalOf(request), id, request.body));
    },
  });

  app.route({
    method: "DELETE",
    url: `${ofSandbox}/:volume`,
    schema: {
      tags,
      operationId: "unmountVolume",
      summary: "Unmount a network volume; its files stay in it",
      params: oneMountParams,
      response: withErrors({ 200: mountAnswer }),
    },
    handler: async (request) => {
      const id = sandboxIdOf(request.params.id);
      return answer(await mounts.unmount(principalOf(request), id, request.params.volume));
    },
  });
}

const view = ({ volumeId, name, type, mountPath, readOnly }: Mount): MountView => ({
  volume_id: volumeId,
  name,
  type,
  mount_path: mountPath,
  read_only: readOnly,
});

const answer = ({ mounts, restarted, note }: MountChange): MountAnswer => ({
  items: mounts.map(view),
  restarted,
  note,
});
