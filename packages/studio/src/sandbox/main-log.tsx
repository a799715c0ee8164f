/** What the main command prints, as it prints it. */
import { Badge, Button, Group, Text } from "@mantine/core";
import type { LogLine, SandboxInfo } from "@insien/sandbox";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { explain, tellFailure } from "../frame/explanation.ts";
import { sandboxKey } from "../sandboxes/sandbox-queries.ts";
import { withSandbox } from "./connection.ts";

const LINES_KEPT = 1000;
/** Nearer to the end than this, the reader is following. */
const FOLLOW_PX = 40;

interface NumberedLine extends LogLine {
  number: number;
}

/** Gathers lines that come close together, so that a loud program costs one drawing a frame. */
function useLog(id: string, runs: boolean): { lines: NumberedLine[]; failure: string | undefined } {
  const [lines, setLines] = useState<NumberedLine[]>([]);
  const [failure, setFailure] = useState<string>();
  useEffect(() => {
    const stop = new AbortController();
    let number = 0;
    let waiting: NumberedLine[] = [];
    let frame = 0;
    const show = (): void => {
      frame = 0;
      const fresh = waiting;
      waiting = [];
      setLines((before) => [...before, ...fresh].slice(-LINES_KEPT));
    };
    setLines([]);
    setFailure(undefined);
    const read = withSandbox(id, async (sandbox) => {
      const log = sandbox.logs({ follow: runs, tail: LINES_KEPT, signal: stop.signal });
      for await (const line of log) {
        number += 1;
        waiting.push({ ...line, number });
        if (waiting.length > LINES_KEPT) waiting.shift();
        if (frame === 0) frame = requestAnimationFrame(show);
      }
    });
    read.catch((error: unknown) => {
      if (!stop.signal.aborted) setFailure(explain(error).message);
    });
    return () => {
      cancelAnimationFrame(frame);
      stop.abort();
    };
  }, [id, runs]);
  return { lines, failure };
}

const STATE_WORDS = {
  running: "Running",
  waiting: "Failed, starts again soon",
  exited: "Ended",
  failed: "Failed",
  stopped: "Stopped",
} as const;

export function MainLog({
  sandbox,
  main,
}: {
  sandbox: SandboxInfo;
  main: NonNullable<SandboxInfo["main"]>;
}) {
  const runs = sandbox.state === "running";
  const { lines, failure } = useLog(sandbox.id, runs);
  const box = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const queries = useQueryClient();
  useLayoutEffect(() => {
    const element = box.current;
    if (element !== null && follows.current) element.scrollTop = element.scrollHeight;
  }, [lines]);
  const restart = useMutation({
    mutationFn: () => withSandbox(sandbox.id, (connected) => connected.main.restart()),
    onError: (error) => tellFailure("Could not restart the main command", error),
    onSettled: () => queries.invalidateQueries({ queryKey: sandboxKey(sandbox.id) }),
  });
  const code = main.exitCode === undefined ? "" : ` with exit code ${main.exitCode}`;
  return (
    <section className="card" aria-labelledby="main-title" style={{ marginBottom: 16 }}>
      <Group className="card-head" justify="space-between">
        <Group gap="sm">
          <h2 id="main-title" style={{ margin: 0, fontSize: "0.875rem" }}>
            Main command
          </h2>
          <Badge variant="default" tt="none" fw={500}>
            {STATE_WORDS[main.state]}
            {main.state === "running" ? "" : code}
          </Badge>
          {main.restarts > 0 && (
            <Text size="xs" c="dimmed">
              started again {main.restarts}×
            </Text>
          )}
        </Group>
        {runs && (
          <Button
            size="compact-sm"
            variant="default"
            loading={restart.isPending}
            onClick={() => restart.mutate()}
          >
            Restart it
          </Button>
        )}
      </Group>
      <div
        ref={box}
        className="log"
        role="log"
        aria-label="Output of the main command"
        // Keyboards scroll what has the focus.
        tabIndex={0}
        onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
          follows.current = scrollHeight - scrollTop - clientHeight < FOLLOW_PX;
        }}
      >
        {lines.length === 0 && (
          <Text size="xs" c="dimmed">
            {failure ?? "It has printed nothing yet."}
          </Text>
        )}
        {lines.map(({ number, stream, text }) => (
          <div key={number} data-stream={stream}>
            {text || " "}
          </div>
        ))}
        {lines.length > 0 && failure !== undefined && <div data-stream="system">{failure}</div>}
      </div>
    </section>
  );
}
