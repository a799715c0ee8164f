/** CPU and memory over the last minutes, as the server measured them. */
import { Group, SimpleGrid, Text } from "@mantine/core";
import type { SandboxInfo, UsageSample } from "@insien/sandbox";
import { useQuery } from "@tanstack/react-query";
import { explain } from "../frame/explanation.ts";
import { bytesText } from "../sandboxes/sandbox-words.ts";
import { withSandbox } from "./connection.ts";

const SPAN_MS = 15 * 60_000;
const POLL_MS = 5000;
const WIDTH = 300;
const HEIGHT = 110;

interface Point {
  atMs: number;
  value: number;
}

function Graph({ points, most, label }: { points: readonly Point[]; most: number; label: string }) {
  const first = points[0]?.atMs ?? 0;
  const span = Math.max((points.at(-1)?.atMs ?? 0) - first, 1);
  const at = ({ atMs, value }: Point): string => {
    const x = ((atMs - first) / span) * WIDTH;
    const y = HEIGHT - Math.min(value / most, 1) * (HEIGHT - 6) - 2;
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  };
  const line = `M${points.map(at).join("L")}`;
  return (
    <svg
      className="graph"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {[0.25, 0.5, 0.75, 1].map((share) => (
        <line key={share} x1="0" x2={WIDTH} y1={HEIGHT * share - 1} y2={HEIGHT * share - 1} />
      ))}
      {points.length > 1 && (
        <>
          <path className="area" d={`${line}L${WIDTH},${HEIGHT}L0,${HEIGHT}Z`} />
          <path className="line" d={line} />
        </>
      )}
    </svg>
  );
}

interface Series {
  name: string;
  now: string;
  of: string;
  most: number;
  points: Point[];
}

const pointsOf = (
  samples: readonly UsageSample[],
  value: (sample: UsageSample) => number,
): Point[] => samples.map((sample) => ({ atMs: sample.at.getTime(), value: value(sample) }));

function seriesOf(samples: readonly UsageSample[], sandbox: SandboxInfo): Series[] {
  const last = samples.at(-1);
  if (last === undefined) return [];
  const { cpu } = sandbox.resources;
  return [
    {
      name: "CPU",
      now: `${last.cpuCores.toFixed(2)} cores`,
      of: `of ${cpu}`,
      most: cpu,
      points: pointsOf(samples, ({ cpuCores }) => cpuCores),
    },
    {
      name: "Memory",
      now: bytesText(last.memoryBytes),
      of: `of ${bytesText(last.memoryLimitBytes)}`,
      most: Math.max(last.memoryLimitBytes, 1),
      points: pointsOf(samples, ({ memoryBytes }) => memoryBytes),
    },
  ];
}

export function UsageGraphs({ sandbox }: { sandbox: SandboxInfo }) {
  const { data, error } = useQuery({
    queryKey: ["usage", sandbox.id],
    queryFn: () =>
      withSandbox(sandbox.id, (connected) =>
        connected.usage({ from: new Date(Date.now() - SPAN_MS) }),
      ),
    refetchInterval: POLL_MS,
  });
  const series = seriesOf(data?.items ?? [], sandbox);
  return (
    <section className="card" aria-labelledby="usage-title" style={{ marginBottom: 16 }}>
      <h2 id="usage-title" style={{ margin: 0 }}>
        Usage, last 15 minutes
      </h2>
      {series.length === 0 && (
        <Text size="sm" c="dimmed" p="md">
          {error === null ? "Nothing has been measured yet." : explain(error).message}
        </Text>
      )}
      {series.length > 0 && (
        <SimpleGrid cols={{ base: 1, xs: 2 }} p="md" spacing="xl">
          {series.map(({ name, now, of, most, points }) => (
            <div key={name}>
              <Group justify="space-between" mb={6} gap={4}>
                <Text size="sm" c="dimmed">
                  {name}
                </Text>
                <Text size="sm">
                  <strong>{now}</strong>{" "}
                  <Text span c="dimmed" size="xs">
                    {of}
                  </Text>
                </Text>
              </Group>
              <Graph points={points} most={most} label={`${name}: ${now} ${of} at present`} />
            </div>
          ))}
        </SimpleGrid>
      )}
    </section>
  );
}
