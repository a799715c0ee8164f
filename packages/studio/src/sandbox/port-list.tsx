import { Anchor, Table, Text } from "@mantine/core";
import type { PublishedPort, SandboxInfo } from "@insien/sandbox";
import { useQuery } from "@tanstack/react-query";
import { explain } from "../frame/explanation.ts";
import { withSandbox } from "./connection.ts";

const POLL_MS = 5000;

function Address({ port, running }: { port: PublishedPort; running: boolean }) {
  const url = port.url ?? port.pathUrl;
  if (url === undefined)
    return <span className="mono">{port.externalAddress ?? "from inside only"}</span>;
  if (!running || !port.public) return <span className="mono">{url}</span>;
  return (
    <Anchor href={url} target="_blank" rel="noreferrer" className="mono" underline="always">
      {url}
    </Anchor>
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
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {data.map((port) => (
              <Table.Tr key={port.internal}>
                <Table.Td>
                  {port.internal}/{port.protocol}
                </Table.Td>
                <Table.Td>{port.public ? "Everyone" : "Key holders"}</Table.Td>
                <Table.Td>
                  <Address port={port} running={state === "running"} />
                </Table.Td>
              </Table.Tr>
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
