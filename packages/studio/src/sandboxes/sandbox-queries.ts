/** What the pages know of sandboxes, asked again while somebody looks. */
import type { SandboxInfo } from "@insien/sandbox";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { tellDone, tellFailure } from "../frame/explanation.ts";
import { withClient } from "../session/session.ts";
import { isLive, sandboxTitle } from "./sandbox-words.ts";

export const LIST_POLL_MS = 3000;
const SANDBOXES = ["sandboxes"] as const;
export const sandboxKey = (id: string) => ["sandbox", id] as const;

/** Newest first, without those that are gone. */
export const useSandboxes = () =>
  useQuery({
    queryKey: SANDBOXES,
    queryFn: ({ signal }) =>
      withClient(async (client) =>
        (await client.listSandboxes(undefined, { signal })).filter(isLive),
      ),
    refetchInterval: LIST_POLL_MS,
  });

export const useSandbox = (id: string) =>
  useQuery({
    queryKey: sandboxKey(id),
    queryFn: ({ signal }) => withClient((client) => client.getSandboxStatus(id, { signal })),
    refetchInterval: LIST_POLL_MS,
  });

export type Verb = "start" | "stop" | "restart" | "destroy";
const DONE: Record<Verb, string> = {
  start: "runs",
  stop: "is stopped; its files are kept",
  restart: "runs again",
  destroy: "is destroyed",
};

export function useSwitch() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ sandbox: { id }, verb }: { sandbox: SandboxInfo; verb: Verb }) => {
      await withClient(async (client): Promise<unknown> => {
        if (verb === "start") return client.startSandbox(id);
        if (verb === "stop") return client.stopSandbox(id);
        if (verb === "restart") return client.restartSandbox(id);
        return client.deleteSandbox(id);
      });
    },
    onSuccess: (_nothing, { sandbox, verb }) => tellDone(`${sandboxTitle(sandbox)} ${DONE[verb]}`),
    onError: (error, { sandbox, verb }) =>
      tellFailure(`Could not ${verb} ${sandboxTitle(sandbox)}`, error),
    onSettled: async (_data, _error, { sandbox }) => {
      await queries.invalidateQueries({ queryKey: SANDBOXES });
      await queries.invalidateQueries({ queryKey: sandboxKey(sandbox.id) });
    },
  });
}
