/** The candidate that somebody who wrote `name` most likely meant, if any is near. */
export function nearestName(name: string, candidates: readonly string[]): string | undefined {
  const wanted = plain(name);
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of candidates) {
    const distance = nameDistance(wanted, plain(candidate));
    if (best === undefined || distance < best.distance) best = { candidate, distance };
  }
  const tolerated = Math.max(1, Math.floor(wanted.length / 3));
  return best !== undefined && best.distance <= tolerated ? best.candidate : undefined;
}

/** ttlSeconds, ttl-seconds and TTL_SECONDS are one name to a person. */
const plain = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");

function nameDistance(left: string, right: string): number {
  // "env" for "environment": an abbreviation is nearer than its length says.
  const shorter = left.length < right.length ? left : right;
  const longer = shorter === left ? right : left;
  if (shorter.length >= 3 && longer.startsWith(shorter)) return shorter === longer ? 0 : 1;
  return editDistance(left, right);
}

/** Levenshtein's, with one row kept. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= right.length; j += 1) {
      const substituted = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[right.length] ?? 0;
}
