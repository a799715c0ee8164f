import { expect, test } from "vitest";
import { freeSubnets, parseSubnetRange } from "./subnets.ts";

test("a range is cut into subnets of sixteen addresses", () => {
  const range = parseSubnetRange("10.213.0.0/24");
  const subnets = [...freeSubnets(range, [])];
  expect(subnets).toHaveLength(16);
  expect(subnets.toSorted()).toContain("10.213.0.240/28");
});

test("what others hold is passed over, whatever its size", () => {
  const range = parseSubnetRange("10.213.0.0/26");
  const free = [...freeSubnets(range, ["10.213.0.0/27", "10.213.0.48/30", "172.17.0.0/16"])];
  expect(free).toEqual(["10.213.0.32/28"]);
});

test("addresses above 128.0.0.0 stay positive", () => {
  expect([...freeSubnets(parseSubnetRange("192.168.250.0/28"), [])]).toEqual(["192.168.250.0/28"]);
});

test.each(["", "10.0.0.0", "10.0.0.0/29", "10.0.0.256/16", "fd00::/64"])(
  "%j is refused",
  (text) => {
    expect(() => parseSubnetRange(text)).toThrow(/subnet range/);
  },
);
