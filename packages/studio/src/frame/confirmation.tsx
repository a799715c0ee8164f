import { Button, Group, Text } from "@mantine/core";
import type { ReactNode } from "react";
import { Dialog } from "./dialog.tsx";

/** Asks before what cannot be taken back, or ends what runs. The safe answer has the focus. */
export function Confirmation({
  title,
  verb,
  keep,
  danger = true,
  busy = false,
  onAnswer,
  children,
}: {
  title: string;
  verb: string;
  /** The safe answer. */
  keep: string;
  danger?: boolean;
  busy?: boolean;
  onAnswer: (yes: boolean) => void;
  children: ReactNode;
}) {
  return (
    <Dialog title={title} onClose={() => onAnswer(false)}>
      <Text component="div" size="sm">
        {children}
      </Text>
      <Group justify="flex-end" mt="lg" gap="xs">
        <Button variant="default" data-autofocus onClick={() => onAnswer(false)}>
          {keep}
        </Button>
        <Button color={danger ? "red.8" : "indigo"} loading={busy} onClick={() => onAnswer(true)}>
          {verb}
        </Button>
      </Group>
    </Dialog>
  );
}
