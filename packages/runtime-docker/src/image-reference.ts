/** References of images, as Docker reads them. */

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
