export interface Check {
  name: string;
  status: "ok" | "warning" | "failed";
  /** A sentence: what is the case. */
  found: string;
  /** A sentence: what to do about it. */
  advice?: string;
}

export const ok = (name: string, found: string): Check => ({ name, status: "ok", found });
export const warning = (name: string, found: string, advice: string): Check => ({
  name,
  status: "warning",
  found,
  advice,
});
export const failed = (name: string, found: string, advice: string): Check => ({
  name,
  status: "failed",
  found,
  advice,
});

export const textOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  // Errors of several addresses at once carry their text one level below.
  const [first] = error instanceof AggregateError ? error.errors : [];
  return first instanceof Error ? first.message : error.message;
};

export const sizeText = (bytes: number): string =>
  bytes >= 1024 ** 3
    ? `${(bytes / 1024 ** 3).toFixed(1)} GiB`
    : `${Math.round(bytes / 1024 ** 2)} MiB`;
