/** Small subnets out of one range: Docker's own pools hold only some thirty networks. */
import { InsienError } from "@insien/protocol";

const PREFIX = 28;
const SUBNET_SIZE = 2 ** (32 - PREFIX);

export interface SubnetRange {
  first: number;
  count: number;
}

const toNumber = (address: string): number =>
  address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
const toAddress = (value: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");

/** Reads "10.213.0.0/16". Throws `invalid_request` when it is no range of IPv4 addresses or holds no subnet. */
export function parseSubnetRange(text: string): SubnetRange {
  const [, address = "", bits = ""] = /^(\d{1,3}(?:\.\d{1,3}){3})\/(\d{1,2})$/.exec(text) ?? [];
  const prefix = Number(bits);
  const parts = address.split(".").map(Number);
  if (address === "" || prefix > PREFIX || parts.some((part) => part > 255)) {
    const message = `the subnet range ${text} is not like 10.213.0.0/16, with room for a /${PREFIX}`;
    throw new InsienError("invalid_request", message);
  }
  const size = 2 ** (32 - prefix);
  return { first: Math.floor(toNumber(address) / size) * size, count: size / SUBNET_SIZE };
}

/** Subnets of the range that none of `taken` ("10.213.0.16/28", any size) touches, from a random one on. */
export function* freeSubnets(range: SubnetRange, taken: readonly string[]): Generator<string> {
  const blocks = taken.map((text) => {
    const [address = "", bits = "32"] = text.split("/");
    const from = toNumber(address);
    return { from, to: from + 2 ** (32 - Number(bits)) };
  });
  // Random, so that two orchestrators on one host seldom try the same.
  const start = Math.floor(Math.random() * range.count);
  for (let step = 0; step < range.count; step += 1) {
    const from = range.first + ((start + step) % range.count) * SUBNET_SIZE;
    const free = blocks.every((block) => block.to <= from || block.from >= from + SUBNET_SIZE);
    if (free) yield `${toAddress(from)}/${PREFIX}`;
  }
}
