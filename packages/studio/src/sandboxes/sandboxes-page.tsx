import { Button, Group, Select, Skeleton, Table, Text, TextInput } from "@mantine/core";
import type { SandboxInfo } from "@insien/sandbox";
import { IconBox, IconPlus, IconSearch, IconZoomExclamation } from "@tabler/icons-react";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { Moment } from "../frame/moments.tsx";
import { Failure, Notice } from "../frame/notice.tsx";
import { PageTitle } from "../frame/page-title.tsx";
import { CreateDialog } from "./create-dialog.tsx";
import { SandboxMenu } from "./sandbox-actions.tsx";
import { useSandboxes } from "./sandbox-queries.ts";
import { coresText, madeFrom, memoryText, sandboxTitle } from "./sandbox-words.ts";
import { StateMark } from "./state-mark.tsx";

const STATES = [
  { value: "", label: "All states" },
  { value: "running", label: "Running" },
  { value: "stopped", label: "Stopped" },
  { value: "creating", label: "Creating" },
  { value: "failed", label: "Failed" },
];
const SKELETON_ROWS = [1, 2, 3, 4];

function found(sandboxes: readonly SandboxInfo[], text: string, state: string): SandboxInfo[] {
  const wanted = text.trim().toLowerCase();
  return sandboxes.filter(
    (sandbox) =>
      (state === "" || sandbox.state === state) &&
      [sandbox.name, sandbox.id, madeFrom(sandbox)].some((each) =>
        each?.toLowerCase().includes(wanted),
      ),
  );
}

function Row({ sandbox }: { sandbox: SandboxInfo }) {
  return (
    <Table.Tr>
      <Table.Td>
        <Link className="row-link" to="/sandboxes/$id" params={{ id: sandbox.id }}>
          {sandboxTitle(sandbox)}
        </Link>
        <Text size="xs" c="dimmed" className="mono">
          {sandbox.id}
        </Text>
      </Table.Td>
      <Table.Td>
        <StateMark state={sandbox.state} />
      </Table.Td>
      <Table.Td>{madeFrom(sandbox)}</Table.Td>
      <Table.Td className="nowrap">
        {coresText(sandbox.resources.cpu)} · {memoryText(sandbox.resources.memory)}
      </Table.Td>
      <Table.Td>
        <Moment at={sandbox.lastActivityAt} />
      </Table.Td>
      <Table.Td w={56}>
        <SandboxMenu sandbox={sandbox} />
      </Table.Td>
    </Table.Tr>
  );
}

function Rows({ sandboxes }: { sandboxes: readonly SandboxInfo[] }) {
  return (
    <Table.ScrollContainer minWidth={620}>
      <Table className="table" verticalSpacing="sm" horizontalSpacing="md" highlightOnHover>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Name</Table.Th>
            <Table.Th>State</Table.Th>
            <Table.Th>Made from</Table.Th>
            <Table.Th>Size</Table.Th>
            <Table.Th>Last used</Table.Th>
            <Table.Td />
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {sandboxes.map((sandbox) => (
            <Row key={sandbox.id} sandbox={sandbox} />
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

export function SandboxesPage() {
  const { data, error, isPending, refetch } = useSandboxes();
  const navigate = useNavigate();
  const { create } = useSearch({ from: "/inside/sandboxes" });
  const [text, setText] = useState("");
  const [state, setState] = useState("");
  const dialog = (open: boolean): void =>
    void navigate({ to: "/sandboxes", search: open ? { create: true } : {} });
  const shown = found(data ?? [], text, state);
  const createButton = (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => dialog(true)}>
      New sandbox
    </Button>
  );
  return (
    <>
      <PageTitle title="Sandboxes" about="Machines of your own, made in a moment and kept apart.">
        {createButton}
      </PageTitle>
      {data !== undefined && data.length > 0 && (
        <Group mb="md" gap="sm">
          <TextInput
            aria-label="Search sandboxes"
            placeholder="Search by name, id or template"
            leftSection={<IconSearch size={16} aria-hidden />}
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
            flex={1}
            maw={360}
          />
          <Select
            aria-label="State"
            data={STATES}
            value={state}
            allowDeselect={false}
            onChange={(value) => setState(value ?? "")}
            w={150}
          />
          <Text size="sm" c="dimmed" role="status">
            {shown.length === data.length
              ? `${data.length} in all`
              : `${shown.length} of ${data.length}`}
          </Text>
        </Group>
      )}
      <section className="card" aria-label="Sandboxes" aria-busy={isPending}>
        {isPending &&
          SKELETON_ROWS.map((row) => <Skeleton key={row} height={40} m="md" w="auto" />)}
        {data === undefined && error !== null && (
          <Failure
            title="The sandboxes could not be read"
            error={error}
            onRetry={() => void refetch()}
          />
        )}
        {data?.length === 0 && (
          <Notice icon={IconBox} title="No sandboxes yet">
            <Text c="dimmed" size="sm" maw={420} mb="sm">
              A sandbox is a machine of your own to run code in. Create one here, or with an API key
              from your programs.
            </Text>
            {createButton}
          </Notice>
        )}
        {data !== undefined && data.length > 0 && shown.length === 0 && (
          <Notice icon={IconZoomExclamation} title="Nothing matches">
            <Button
              variant="default"
              onClick={() => {
                setText("");
                setState("");
              }}
            >
              Show all sandboxes
            </Button>
          </Notice>
        )}
        {shown.length > 0 && <Rows sandboxes={shown} />}
      </section>
      {create === true && <CreateDialog onClose={() => dialog(false)} />}
    </>
  );
}
