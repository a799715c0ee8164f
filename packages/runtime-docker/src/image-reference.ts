/** References of images, as Docker reads them. */
import { InsienError } from "@insien/protocol";

const HOST = String.raw`(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])(?::\d+)?`;
const PART = String.raw`[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*`;
const TAG = String.raw`:\w[\w.-]{0,127}`;
const DIGEST = String.raw`@[A-Za-z0-9][A-Za-z0-9+._-]*:[0-9A-Fa-f]{32,}`;
const REFERENCE = new RegExp(`^(?:${HOST}/)?${PART}(?:/${PART})*(?:${TAG})?(?:${DIGEST})?$`);
const REFERENCE_LENGTH = 512;

/**
 * The Engine's client puts a reference into the path of a request as it is, where slashes and dots
 * would lead to other addresses.
 */
export function assertReference(reference: string): void {
  if (reference.length <= REFERENCE_LENGTH && REFERENCE.test(reference)) return;
  const shown = reference.slice(0, REFERENCE_LENGTH);
  throw new InsienError("invalid_request", `${shown} is not the name of an image`);
}

/** "debian" means "debian:latest" to people, and every tag there is to the Engine. */
export function withTag(reference: string): string {
  const lastPart = reference.slice(reference.lastIndexOf("/") + 1);
  return /[:@]/.test(lastPart) ? reference : `${reference}:latest`;
}

/**
 * Where a name is asked for Docker takes ids too, and the beginning of one that is only one image's:
 * whoever tries them finds what others built, which has no name that could be guessed.
 */
export const isImageId = (reference: string): boolean =>
  /^(?:sha\d+:.*|[0-9a-f]{64})$/is.test(reference);

/** The host, and port, that an image is pulled from. */
export function registryOf(reference: string): string {
  const [first = "", ...others] = reference.split("/");
  const isHost = /[.:A-Z]/.test(first) || first === "localhost";
  return others.length > 0 && isHost ? first.toLowerCase() : "docker.io";
}
