import { Skeleton, Text } from "@mantine/core";
import type { SandboxEvent } from "@insien/sandbox";
import { useQuery } from "@tanstack/react-query";
import { explain } from "../frame/explanation.ts";
import { Moment } from "../frame/moments.tsx";
import { withSandbox } from "./connection.ts";

const POLL_MS = 5000;
const SHOWN_MOST = 100;

/** "sandbox.created" is "Sandbox created"; what came of it stands behind. */
function eventText({ type, data }: SandboxEvent): string {
  const words = type.replaceAll(/[._]/g, " ");
  const about = data["command"] ?? data["cmd"] ?? data["reason"] ?? data["exit_code"];
  const behind =
    typeof about === "string" || typeof about === "number"
      ? `: ${String(about).slice(0, 120)}`
      : "";
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}${behind}`;
}

const readEvents = (id: string): Promise<SandboxEvent[]> =>
  withSandbox(id, async (sandbox) => {
    const events: SandboxEvent[] = [];
    for await (const event of sandbox.events()) {
      events.push(event);
      if (events.length > SHOWN_MOST) events.shift();
    }
    return events.reverse();
  });

export function EventTimeline({ id }: { id: string }) {
  const { data, error } = useQuery({
    queryKey: ["events", id],
    queryFn: () => readEvents(id),
    refetchInterval: POLL_MS,
  });
  return (
    <section className="card" aria-labelledby="events-title">
      <h2 id="events-title" style={{ margin: 0 }}>
        Events
      </h2>
      {data === undefined && error === null && <Skeleton height={80} m="md" w="auto" />}
      {data === undefined && error !== null && (
        <Text size="sm" p="md">
          {explain(error).message}
        </Text>
      )}
      {data !== undefined && (
        // A list that scrolls must be reachable by keyboard.
        <ol className="timeline" tabIndex={0} aria-labelledby="events-title">
          {data.map((event) => (
            <li key={event.sequence} data-tone={event.type.endsWith("failed") ? "bad" : undefined}>
              {eventText(event)}
              <Text size="xs" c="dimmed">
                <Moment at={event.at} />
              </Text>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
