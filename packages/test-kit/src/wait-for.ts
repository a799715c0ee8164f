/**
 * Polls until `probe` gives something other than `undefined`, `false` or an exception, and returns
 * it. At the deadline it throws with the last thing seen, so that a failure explains itself.
 */
export async function waitFor<Value>(
  probe: () => Promise<Value> | Value,
  options: { timeoutMs?: number; intervalMs?: number; describe?: string } = {},
): Promise<Exclude<Value, undefined | false>> {
  const { timeoutMs = 10_000, intervalMs = 20, describe = "the condition" } = options;
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) {
        return value as Exclude<Value, undefined | false>;
      }
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= deadline) {
      throw new Error(`waited ${timeoutMs} ms for ${describe}; last seen: ${String(last)}`, {
        cause: last,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
