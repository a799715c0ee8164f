import {
  Alert,
  Button,
  Group,
  NumberInput,
  SegmentedControl,
  Select,
  Stack,
  Switch,
  Text,
  TextInput,
} from "@mantine/core";
import type { CreateSandboxRequest } from "@insien/sandbox";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";
import { Dialog } from "../frame/dialog.tsx";
import { explain } from "../frame/explanation.ts";
import { fieldsOf } from "../frame/form-fields.ts";
import { withClient } from "../session/session.ts";
import { sandboxKey } from "./sandbox-queries.ts";

const MEMORY = ["256m", "512m", "1g", "2g", "4g"].map((value) => ({
  value,
  label: `${value.slice(0, -1)} ${value.endsWith("g") ? "GiB" : "MiB"}`,
}));

export function CreateDialog({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [origin, setOrigin] = useState<"template" | "image">("template");
  const [step, setStep] = useState("");
  const [memory, setMemory] = useState("512m");
  const [cpu, setCpu] = useState<number | string>(1);
  const create = useMutation({
    mutationFn: (request: CreateSandboxRequest) =>
      withClient((client) =>
        client.createSandbox(request, { onProgress: ({ message }) => setStep(message ?? "") }),
      ),
    onSuccess: async (sandbox) => {
      queries.setQueryData(sandboxKey(sandbox.id), sandbox);
      await navigate({ to: "/sandboxes/$id", params: { id: sandbox.id } });
    },
    onSettled: () => setStep(""),
  });
  const submit = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const textOf = fieldsOf(event.currentTarget);
    const field = (name: string): string | undefined => textOf(name).trim() || undefined;
    create.mutate({
      name: field("name"),
      [origin]: field("origin"),
      command: field("command"),
      resources: { memory, cpu: Number(cpu) },
      network: textOf("network") !== "" ? "internet" : "none",
    });
  };
  return (
    <Dialog title="Create a sandbox" size="lg" stays={create.isPending} onClose={onClose}>
      <form onSubmit={submit}>
        <Stack gap="md">
          {create.error !== null && (
            <Alert color="red" variant="outline" role="alert" title={explain(create.error).message}>
              {explain(create.error).hint}
            </Alert>
          )}
          <TextInput
            name="name"
            label="Name"
            placeholder="Shown in lists"
            maxLength={128}
            data-autofocus
          />
          <div>
            <Text size="sm" fw={500} mb={4} id="made-from">
              Made from
            </Text>
            <SegmentedControl
              aria-labelledby="made-from"
              fullWidth
              value={origin}
              onChange={(value) => setOrigin(value === "image" ? "image" : "template")}
              data={[
                { value: "template", label: "Template" },
                { value: "image", label: "Container image" },
              ]}
            />
          </div>
          <TextInput
            key={origin}
            name="origin"
            required
            label={origin === "template" ? "Template" : "Image"}
            description={
              origin === "template"
                ? "One that this server has; base is always there."
                : "Any image, such as python:3.12-slim. Needs the docker runtime."
            }
            defaultValue={origin === "template" ? "base" : ""}
          />
          <TextInput
            name="command"
            label="Main command"
            description="Runs as long as the sandbox does; a line for the shell. Leave it empty for none."
            classNames={{ input: "mono" }}
          />
          <Group grow align="flex-start">
            <Select
              label="Memory"
              data={MEMORY}
              value={memory}
              allowDeselect={false}
              onChange={(value) => setMemory(value ?? "512m")}
            />
            <NumberInput
              label="CPU cores"
              min={0.1}
              max={8}
              step={0.5}
              value={cpu}
              onChange={setCpu}
              required
            />
          </Group>
          <Switch
            name="network"
            label="Internet access"
            description="Off: nothing leaves the sandbox. On: public addresses only, never your network."
          />
          <Group justify="space-between" mt="xs">
            <Text size="sm" c="dimmed" role="status">
              {create.isPending ? step || "Making the machine…" : ""}
            </Text>
            <Group gap="xs">
              <Button variant="default" onClick={onClose} disabled={create.isPending}>
                Cancel
              </Button>
              <Button type="submit" loading={create.isPending}>
                Create
              </Button>
            </Group>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}
