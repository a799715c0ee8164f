/** Which Debian packages Insien uses, and for what. */

/** @typedef {import("./apt.mjs").DebianPackage} DebianPackage */

/** @type {readonly DebianPackage[]} */
const COMMON = [
  { name: "ca-certificates", provides: "/etc/ssl/certs/ca-certificates.crt", purpose: "TLS" },
  {
    name: "slirp4netns",
    provides: "slirp4netns",
    purpose: "internet access of bubblewrap sandboxes",
  },
  { name: "iproute2", provides: "ip", purpose: "sandbox networks" },
];

/** @type {DebianPackage} */
const MMDEBSTRAP = {
  name: "mmdebstrap",
  provides: "mmdebstrap",
  purpose: "makes the base image where no registry is reachable",
};

/**
 * For running Insien.
 * @param {boolean} docker Whether a Docker daemon answers.
 * @returns {DebianPackage[]}
 */
export const packagesToRun = (docker) => [
  {
    name: "bubblewrap",
    provides: "bwrap",
    purpose: "sandboxes without Docker",
    required: !docker,
  },
  ...COMMON,
  ...(docker ? [MMDEBSTRAP] : []),
];

/**
 * For running all tests, a Docker daemon included.
 * @returns {DebianPackage[]}
 */
export const packagesToTest = () =>
  [
    ...packagesToRun(false),
    MMDEBSTRAP,
    { name: "docker.io", provides: "dockerd", purpose: "Docker runtime" },
    { name: "docker-compose", provides: "docker-compose", purpose: "deploy/compose" },
    { name: "iptables", provides: "iptables", purpose: "Docker's networks" },
    { name: "docker-registry", provides: "docker-registry", purpose: "a registry to pull from" },
    { name: "postgresql", provides: "/usr/lib/postgresql", purpose: "database tests" },
    {
      name: "busybox-static",
      provides: "/usr/share/doc/busybox-static",
      purpose: "an image without the GNU C library",
    },
    { name: "musl", provides: "/usr/share/doc/musl", purpose: "that image's own C library" },
    { name: "git", provides: "git", purpose: "which files the style tests read" },
    { name: "procps", provides: "pgrep", purpose: "what runs after a test" },
    { name: "unzip", provides: "unzip", purpose: "zips are read by another program than ours" },
    { name: "uidmap", provides: "newuidmap", purpose: "user namespaces" },
    { name: "passt", provides: "pasta", purpose: "user-mode networks" },
    { name: "chromium", provides: "chromium", purpose: "the SDK in a browser" },
  ].map((wanted) => ({ ...wanted, required: true }));
