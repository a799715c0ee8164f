import { Alert, Button, Group, Skeleton, Table, Text, TextInput } from "@mantine/core";
import type { ApiKey, CreatedKey } from "@insien/sandbox";
import { IconKey, IconPlus } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Confirmation } from "../frame/confirmation.tsx";
import { CopyText } from "../frame/copy-text.tsx";
import { Dialog } from "../frame/dialog.tsx";
import { explain, tellDone, tellFailure } from "../frame/explanation.ts";
import { Moment } from "../frame/moments.tsx";
import { Failure, Notice } from "../frame/notice.tsx";
import { PageTitle } from "../frame/page-title.tsx";
import { usePerson, withClient } from "../session/session.ts";

const KEYS = ["keys"] as const;

/** Asks for a name, and then shows the key, which is nowhere to be seen again. */
function NewKey({ onClose }: { onClose: () => void }) {
  const queries = useQueryClient();
  const { id } = usePerson();
  const [name, setName] = useState("");
  const [made, setMade] = useState<CreatedKey>();
  const create = useMutation({
    mutationFn: () => withClient((client) => client.keys.create({ name, ownerId: id })),
    onSuccess: async (key) => {
      setMade(key);
      await queries.invalidateQueries({ queryKey: KEYS });
    },
  });
  return (
    <Dialog
      title={made === undefined ? "Create an API key" : "Your new key"}
      stays={made !== undefined}
      onClose={onClose}
    >
      {made === undefined ? (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            create.mutate();
          }}
        >
          {create.error !== null && (
            <Alert
              color="red"
              variant="outline"
              role="alert"
              mb="md"
              title={explain(create.error).message}
            >
              {explain(create.error).hint}
            </Alert>
          )}
          <TextInput
            label="Name"
            description="What it is for, so that you know which to revoke."
            required
            maxLength={128}
            data-autofocus
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Group justify="flex-end" mt="lg" gap="xs">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={create.isPending}>
              Create
            </Button>
          </Group>
        </form>
      ) : (
        <>
          <Text size="sm" mb="sm">
            Copy it now: it is shown this once. Programs send it in the header{" "}
            <span className="mono">X-API-Key</span>.
          </Text>
          <div className="card" style={{ padding: 12 }} data-testid="new-key">
            <CopyText text={made.key} what="key" />
          </div>
          <Group justify="flex-end" mt="lg">
            <Button onClick={onClose}>I have copied it</Button>
          </Group>
        </>
      )}
    </Dialog>
  );
}

function Keys({ keys, onRevoke }: { keys: readonly ApiKey[]; onRevoke: (key: ApiKey) => void }) {
  return (
    <Table.ScrollContainer minWidth={560}>
      <Table className="table" verticalSpacing="sm" horizontalSpacing="md">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Name</Table.Th>
            <Table.Th>Begins with</Table.Th>
            <Table.Th>Created</Table.Th>
            <Table.Th>Last used</Table.Th>
            <Table.Td />
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {keys.map((key) => (
            <Table.Tr key={key.id}>
              <Table.Td fw={600}>{key.name}</Table.Td>
              <Table.Td>
                <span className="mono">{key.prefix}…</span>
              </Table.Td>
              <Table.Td>
                <Moment at={key.createdAt} />
              </Table.Td>
              <Table.Td>
                {key.lastUsedAt === undefined ? "Never" : <Moment at={key.lastUsedAt} />}
              </Table.Td>
              <Table.Td ta="right">
                <Button
                  size="compact-sm"
                  variant="default"
                  c="var(--studio-bad)"
                  aria-label={`Revoke ${key.name}`}
                  onClick={() => onRevoke(key)}
                >
                  Revoke
                </Button>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

export function KeysPage() {
  const queries = useQueryClient();
  const { id } = usePerson();
  const [creating, setCreating] = useState(false);
  const [asked, setAsked] = useState<ApiKey>();
  const { data, error, isPending, refetch } = useQuery({
    queryKey: KEYS,
    // An administrator is told everybody's; this page is about one's own.
    queryFn: ({ signal }) =>
      withClient(async (client) =>
        (await client.keys.list({ signal })).filter(({ ownerId }) => ownerId === id),
      ),
  });
  const revoke = useMutation({
    mutationFn: (key: ApiKey) => withClient((client) => client.keys.revoke(key.id)),
    onSuccess: (_done, key) => tellDone(`${key.name} is revoked`),
    onError: (failure, key) => tellFailure(`Could not revoke ${key.name}`, failure),
    onSettled: () => queries.invalidateQueries({ queryKey: KEYS }),
  });
  const createButton = (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setCreating(true)}>
      New key
    </Button>
  );
  return (
    <>
      <PageTitle title="API keys" about="For programs that work with your sandboxes.">
        {createButton}
      </PageTitle>
      <section className="card" aria-label="API keys" aria-busy={isPending}>
        {isPending && <Skeleton height={120} m="md" w="auto" />}
        {data === undefined && error !== null && (
          <Failure
            title="The keys could not be read"
            error={error}
            onRetry={() => void refetch()}
          />
        )}
        {data?.length === 0 && (
          <Notice icon={IconKey} title="No keys yet">
            <Text c="dimmed" size="sm" mb="sm">
              A key lets a program create and use sandboxes in your name.
            </Text>
            {createButton}
          </Notice>
        )}
        {data !== undefined && data.length > 0 && <Keys keys={data} onRevoke={setAsked} />}
      </section>
      {creating && <NewKey onClose={() => setCreating(false)} />}
      {asked !== undefined && (
        <Confirmation
          title={`Revoke ${asked.name}?`}
          verb="Revoke for good"
          keep="Keep it"
          onAnswer={(yes) => {
            setAsked(undefined);
            if (yes) revoke.mutate(asked);
          }}
        >
          Programs that use it are refused from now on. This cannot be undone; a new key can take
          its place.
        </Confirmation>
      )}
    </>
  );
}
