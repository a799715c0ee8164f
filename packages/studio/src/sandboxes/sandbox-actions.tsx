import { ActionIcon, Button, Menu } from "@mantine/core";
import {
  IconDotsVertical,
  IconPlayerPlay,
  IconPlayerStop,
  IconRefresh,
  IconTrash,
} from "@tabler/icons-react";
import type { SandboxInfo } from "@insien/sandbox";
import { useState } from "react";
import { Confirmation } from "../frame/confirmation.tsx";
import { useSwitch, type Verb } from "./sandbox-queries.ts";
import { sandboxTitle } from "./sandbox-words.ts";

type Asked = Exclude<Verb, "start">;
const QUESTIONS: Record<Asked, { verb: string; keep: string; text: string }> = {
  stop: {
    verb: "Stop",
    keep: "Keep it running",
    text: "Its programs and terminals end. Its files are kept, and you can start it again.",
  },
  restart: {
    verb: "Restart",
    keep: "Keep it running",
    text: "Its programs and terminals end, and its main command starts again. Its files are kept.",
  },
  destroy: {
    verb: "Destroy for good",
    keep: "Keep it",
    text: "The machine and all its files are removed for good. This cannot be undone. Volumes are kept. To keep the files, stop it instead.",
  },
};

function useActions(sandbox: SandboxInfo, onDestroyed?: () => void) {
  const [asked, setAsked] = useState<Asked>();
  const change = useSwitch();
  const run = (verb: Verb): void =>
    change.mutate(
      { sandbox, verb },
      { onSuccess: () => (verb === "destroy" ? onDestroyed?.() : undefined) },
    );
  const question = asked && QUESTIONS[asked];
  const dialog = asked !== undefined && question !== undefined && (
    <Confirmation
      title={`${asked.charAt(0).toUpperCase()}${asked.slice(1)} ${sandboxTitle(sandbox)}?`}
      verb={question.verb}
      keep={question.keep}
      danger={asked === "destroy"}
      onAnswer={(yes) => {
        setAsked(undefined);
        if (yes) run(asked);
      }}
    >
      {question.text}
    </Confirmation>
  );
  return { dialog, ask: setAsked, run, busy: change.isPending };
}

export function SandboxMenu({ sandbox }: { sandbox: SandboxInfo }) {
  const { dialog, ask, run, busy } = useActions(sandbox);
  const { state } = sandbox;
  return (
    <>
      <Menu position="bottom-end" width={170}>
        <Menu.Target>
          <ActionIcon
            variant="subtle"
            color="gray"
            c="dimmed"
            loading={busy}
            aria-label={`Actions for ${sandboxTitle(sandbox)}`}
          >
            <IconDotsVertical size={18} aria-hidden />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          {state === "stopped" && (
            <Menu.Item leftSection={<IconPlayerPlay size={16} />} onClick={() => run("start")}>
              Start
            </Menu.Item>
          )}
          {state === "running" && (
            <>
              <Menu.Item leftSection={<IconRefresh size={16} />} onClick={() => ask("restart")}>
                Restart…
              </Menu.Item>
              <Menu.Item leftSection={<IconPlayerStop size={16} />} onClick={() => ask("stop")}>
                Stop…
              </Menu.Item>
            </>
          )}
          <Menu.Item
            c="var(--studio-bad)"
            leftSection={<IconTrash size={16} />}
            onClick={() => ask("destroy")}
          >
            Destroy…
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {dialog}
    </>
  );
}

export function SandboxButtons({
  sandbox,
  onDestroyed,
}: {
  sandbox: SandboxInfo;
  onDestroyed: () => void;
}) {
  const { dialog, ask, run, busy } = useActions(sandbox, onDestroyed);
  const { state } = sandbox;
  return (
    <>
      {state === "stopped" && (
        <Button
          leftSection={<IconPlayerPlay size={16} aria-hidden />}
          loading={busy}
          onClick={() => run("start")}
        >
          Start
        </Button>
      )}
      {state === "running" && (
        <>
          <Button
            variant="default"
            leftSection={<IconRefresh size={16} aria-hidden />}
            disabled={busy}
            onClick={() => ask("restart")}
          >
            Restart
          </Button>
          <Button
            variant="default"
            leftSection={<IconPlayerStop size={16} aria-hidden />}
            disabled={busy}
            onClick={() => ask("stop")}
          >
            Stop
          </Button>
        </>
      )}
      <Button
        variant="default"
        c="var(--studio-bad)"
        leftSection={<IconTrash size={16} aria-hidden />}
        disabled={busy}
        onClick={() => ask("destroy")}
      >
        Destroy
      </Button>
      {dialog}
    </>
  );
}
