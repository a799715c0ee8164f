import { Button, Table, Text } from "@mantine/core";
import type { PublishedPort, SandboxInfo } from "@insien/sandbox";
import { IconExternalLink } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { explain, tellFailure } from "../frame/explanation.ts";
import { withSandbox } from "./connection.ts";

const POLL_MS = 5000;

/** The host name where this page's own is above it; elsewhere the form that needs no DNS. */
function reachable({ url, pathUrl }: { url: string; pathUrl: string }): string {
  return new URL(url).hostname.endsWith(`.${location.hostname}`) ? url : pathUrl;
}

/** Opens the port in a tab of its own, by a link made for it: the tab has no key to show. */
function OpenPort({ id, port }: { id: string; port: number }) {
  const open = useMutation({
    mutationFn: async (tab: Window | null) => {
      try {
        const link = await withSandbox(id, (connected) => connected.ports.link(port));
        if (tab !== null) tab.location.href = reachable(link);
      } catch (error) {
        tab?.close();
        throw error;
      }
    },
    onError: (error) => tellFailure(`Could not open port ${port}`, error),
  });
  const click = (): void => {
    // Browsers open tabs during a click only, so the tab is there before its address.
    const tab = window.open("about:blank");
    if (tab !== null) tab.opener = null;
    open.mutate(tab);
  };
  return (
    <Button
      size="compact-sm"
      variant="default"
      loading={open.isPending}
      aria-label={`Open port ${port}`}
      rightSection={<IconExternalLink size={14} aria-hidden />}
      onClick={click}
    >
      Open
    </Button>
  );
}

function Row({ id, port, runs }: { id: string; port: PublishedPort; runs: boolean }) {
  const address = port.url ?? port.pathUrl ?? port.externalAddress ?? "From inside only";
  return (
    <Table.Tr>
      <Table.Td className="nowrap">
        {port.internal}/{port.protocol}
      </Table.Td>
      <Table.Td className="nowrap">{port.public ? "Everyone" : "You, and links"}</Table.Td>
      <Table.Td className="mono" style={{ overflowWrap: "anywhere" }}>
        {address}
      </Table.Td>
      <Table.Td ta="right">
        {runs && port.protocol === "http" && <OpenPort id={id} port={port.internal} />}
      </Table.Td>
    </Table.Tr>
  );
}

export function PortList({ sandbox }: { sandbox: SandboxInfo }) {
  const { id, state } = sandbox;
  const { data, error } = useQuery({
    queryKey: ["ports", id],
    queryFn: () => withSandbox(id, (connected) => connected.ports.published()),
    refetchInterval: POLL_MS,
  });
  return (
    <section className="card" aria-labelledby="ports-title">
      <h2 id="ports-title" style={{ margin: 0 }}>
        Ports
      </h2>
      {data !== undefined && data.length > 0 ? (
        <Table className="table" horizontalSpacing="md" verticalSpacing="xs">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Port</Table.Th>
              <Table.Th>Open to</Table.Th>
              <Table.Th>Address</Table.Th>
              <Table.Td />
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {data.map((port) => (
              <Row key={port.internal} id={id} port={port} runs={state === "running"} />
            ))}
          </Table.Tbody>
        </Table>
      ) : (
        <Text size="sm" c="dimmed" p="md">
          {error === null ? "No port is published." : explain(error).message}
        </Text>
      )}
    </section>
  );
}
