/** Times as people say them: how long ago, with the exact moment behind it. */
const UNITS: [unit: Intl.RelativeTimeFormatUnit, seconds: number][] = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function fromNow(at: Date, nowMs: number): string {
  const seconds = (at.getTime() - nowMs) / 1000;
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? [];
  if (unit === undefined || size === undefined) return seconds > 5 ? "in a moment" : "just now";
  return relative.format(Math.round(seconds / size), unit);
}

export function Moment({ at }: { at: Date | string }) {
  const date = new Date(at);
  return (
    <time className="nowrap" dateTime={date.toISOString()} title={exact.format(date)}>
      {fromNow(date, Date.now())}
    </time>
  );
}
