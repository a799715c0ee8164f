import { Anchor, Alert, Grid, Group, Skeleton } from "@mantine/core";
import { SandboxError, type SandboxInfo } from "@insien/sandbox";
import { IconArrowLeft, IconBoxOff } from "@tabler/icons-react";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { CopyText } from "../frame/copy-text.tsx";
import { Failure, Notice } from "../frame/notice.tsx";
import { PageTitle } from "../frame/page-title.tsx";
import { SandboxButtons } from "../sandboxes/sandbox-actions.tsx";
import { useSandbox } from "../sandboxes/sandbox-queries.ts";
import { isLive, sandboxTitle } from "../sandboxes/sandbox-words.ts";
import { StateMark } from "../sandboxes/state-mark.tsx";
import { EventTimeline } from "./event-timeline.tsx";
import { MainLog } from "./main-log.tsx";
import { PortList } from "./port-list.tsx";
import { SandboxFacts } from "./sandbox-facts.tsx";
import { UsageGraphs } from "./usage-graphs.tsx";

function Overview({ sandbox }: { sandbox: SandboxInfo }) {
  const navigate = useNavigate();
  return (
    <>
      <PageTitle
        title={sandboxTitle(sandbox)}
        about={
          <Group gap="md">
            <StateMark state={sandbox.state} />
            <CopyText text={sandbox.id} what="id" />
          </Group>
        }
      >
        {isLive(sandbox) && (
          <SandboxButtons
            sandbox={sandbox}
            onDestroyed={() => void navigate({ to: "/sandboxes" })}
          />
        )}
      </PageTitle>
      {sandbox.stateReason !== undefined && (
        <Alert
          mb="md"
          color={sandbox.state === "failed" ? "red" : "gray"}
          variant="outline"
          title={sandbox.stateReason}
        />
      )}
      <Grid gap="md">
        <Grid.Col span={{ base: 12, md: 7 }}>
          <UsageGraphs sandbox={sandbox} />
          {sandbox.main !== undefined && <MainLog sandbox={sandbox} main={sandbox.main} />}
          <PortList sandbox={sandbox} />
        </Grid.Col>
        <Grid.Col span={{ base: 12, md: 5 }}>
          <SandboxFacts sandbox={sandbox} />
          <EventTimeline id={sandbox.id} />
        </Grid.Col>
      </Grid>
    </>
  );
}

export function SandboxPage() {
  const { id } = useParams({ from: "/inside/sandboxes/$id" });
  const { data, error, refetch } = useSandbox(id);
  const isAbsent = error instanceof SandboxError && error.status === 404;
  return (
    <>
      <Anchor component={Link} to="/sandboxes" size="sm" display="inline-flex" mb="sm">
        <Group gap={4}>
          <IconArrowLeft size={16} aria-hidden /> All sandboxes
        </Group>
      </Anchor>
      {data !== undefined && !isAbsent && <Overview key={id} sandbox={data} />}
      {isAbsent && (
        <section className="card">
          <Notice icon={IconBoxOff} title="There is no such sandbox" level={1}>
            <p>It was destroyed, or it belongs to somebody else.</p>
          </Notice>
        </section>
      )}
      {data === undefined && error !== null && !isAbsent && (
        <section className="card">
          <Failure title="It could not be read" error={error} onRetry={() => void refetch()} />
        </section>
      )}
      {data === undefined && error === null && (
        <div aria-busy="true" aria-label="Loading">
          <Skeleton height={36} w={280} mb="lg" />
          <Skeleton height={280} mb="md" />
          <Skeleton height={200} />
        </div>
      )}
    </>
  );
}
