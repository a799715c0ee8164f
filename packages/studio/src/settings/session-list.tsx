import { Badge, Button, Group, Skeleton, Table, Text } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { tellDone, tellFailure } from "../frame/explanation.ts";
import { Moment } from "../frame/moments.tsx";
import { Failure } from "../frame/notice.tsx";
import { callAccount } from "../session/session.ts";

export const SESSIONS = ["sessions"] as const;
const PATH = "/api/v1/auth/sessions";

interface SessionView {
  id: string;
  current: boolean;
  user_agent?: string;
  created_at: string;
  last_used_at: string;
}

const BROWSERS: [name: string, mark: RegExp][] = [
  ["Edge", /\bEdg\//],
  ["Firefox", /\bFirefox\//],
  ["Chrome", /\b(?:Headless)?Chrom(?:e|ium)\//],
  ["Safari", /\bSafari\//],
];
const SYSTEMS: [name: string, mark: RegExp][] = [
  ["Android", /Android/],
  ["iOS", /iPhone|iPad/],
  ["Windows", /Windows/],
  ["macOS", /Mac OS X/],
  ["Linux", /Linux/],
];

/** "Chrome on Linux", as far as the browser says what it is. */
function deviceText(userAgent = ""): string {
  const named = (list: [string, RegExp][]) => list.find(([, mark]) => mark.test(userAgent))?.[0];
  const browser = named(BROWSERS);
  const system = named(SYSTEMS);
  if (browser === undefined) return userAgent.slice(0, 60) || "A program";
  return system === undefined ? browser : `${browser} on ${system}`;
}

export function SessionList() {
  const queries = useQueryClient();
  const { data, error, refetch } = useQuery({
    queryKey: SESSIONS,
    queryFn: async () => (await callAccount<{ items: SessionView[] }>("GET", PATH)).items,
  });
  const end = useMutation({
    mutationFn: (id: string) => callAccount("DELETE", `${PATH}/${encodeURIComponent(id)}`),
    onSuccess: () => tellDone("The session has ended"),
    onError: (failure) => tellFailure("Could not end the session", failure),
    onSettled: () => queries.invalidateQueries({ queryKey: SESSIONS }),
  });
  return (
    <section className="card" aria-labelledby="sessions-title" style={{ marginBottom: 16 }}>
      <h2 id="sessions-title" style={{ margin: 0 }}>
        Where you are signed in
      </h2>
      {data === undefined && error === null && <Skeleton height={60} m="md" w="auto" />}
      {data === undefined && error !== null && (
        <Failure
          title="The sessions could not be read"
          error={error}
          onRetry={() => void refetch()}
        />
      )}
      {data !== undefined && (
        <Table.ScrollContainer minWidth={480}>
          <Table className="table" verticalSpacing="sm" horizontalSpacing="md">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Device</Table.Th>
                <Table.Th>Signed in</Table.Th>
                <Table.Th>Last used</Table.Th>
                <Table.Td />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {data.map((session) => (
                <Table.Tr key={session.id}>
                  <Table.Td>
                    <Group gap="xs">
                      <Text size="sm" fw={600}>
                        {deviceText(session.user_agent)}
                      </Text>
                      {session.current && (
                        <Badge variant="default" tt="none" fw={500}>
                          This one
                        </Badge>
                      )}
                    </Group>
                  </Table.Td>
                  <Table.Td>
                    <Moment at={session.created_at} />
                  </Table.Td>
                  <Table.Td>
                    <Moment at={session.last_used_at} />
                  </Table.Td>
                  <Table.Td ta="right">
                    {!session.current && (
                      <Button
                        size="compact-sm"
                        variant="default"
                        aria-label={`End the session on ${deviceText(session.user_agent)}`}
                        disabled={end.isPending}
                        onClick={() => end.mutate(session.id)}
                      >
                        End
                      </Button>
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
    </section>
  );
}
