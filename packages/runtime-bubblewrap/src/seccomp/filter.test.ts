/**
 * The filters of both processors, run by a small BPF machine: the real kernel only ever runs the
 * one of the processor it is on (test/seccomp.test.ts).
 */
import { describe, expect, test } from "vitest";
import { seccompFilter } from "./filter.ts";
import { assemble, jumpIf, label, returns } from "./program.ts";

const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const fails = (errno: number) => 0x00050000 | errno;
const ARCHITECTURES = { x64: 0xc000003e, arm64: 0xc00000b7 } as const;

/** What the program returns for a call, as the kernel would compute it. */
function evaluate(
  program: Buffer,
  architecture: number,
  number: number,
  parameters: number[] = [],
) {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(number >>> 0, 0);
  data.writeUInt32LE(architecture, 4);
  for (const [index, value] of parameters.entries())
    data.writeUInt32LE(value >>> 0, 16 + 8 * index);
  let accumulator = 0;
  for (let address = 0; address < program.length / 8; address += 1) {
    const code = program.readUInt16LE(address * 8);
    const [taken, value] = [
      program.readUInt8(address * 8 + 2),
      program.readUInt32LE(address * 8 + 4),
    ];
    if (code === 0x06) return value;
    if (code === 0x20) accumulator = data.readUInt32LE(value);
    if (code === 0x05) address += value;
    if (code === 0x15 && accumulator === value) address += taken;
    if (code === 0x35 && accumulator >= value) address += taken;
    if (code === 0x45 && (accumulator & value) !== 0) address += taken;
  }
  throw new Error("the program ended without an answer");
}

const NEWUSER = 0x10000000;
describe.each([
  { name: "x64", read: 0, mount: 165, clone: 56, clone3: 435, socket: 41, ioctl: 16 },
  { name: "arm64", read: 63, mount: 40, clone: 220, clone3: 435, socket: 198, ioctl: 29 },
] as const)("the filter for $name", ({ name, read, mount, clone, clone3, socket, ioctl }) => {
  const filter = seccompFilter(name);
  const answer = (number: number, ...parameters: number[]) =>
    evaluate(filter, ARCHITECTURES[name], number, parameters);

  test("allows what is not named", () => {
    expect(answer(read)).toBe(ALLOW);
    expect(answer(clone, 17)).toBe(ALLOW);
    expect(answer(ioctl, 0, 0x5401)).toBe(ALLOW);
    expect(answer(socket, 2, 1, 6)).toBe(ALLOW);
  });

  test("refuses what is named, by number or by argument", () => {
    expect(answer(mount)).toBe(fails(1));
    expect(answer(clone, NEWUSER | 17)).toBe(fails(1));
    expect(answer(ioctl, 0, 0x5412)).toBe(fails(1));
    expect(answer(socket, 40)).toBe(fails(97));
    expect(answer(socket, 16, 3, 12)).toBe(fails(93));
    expect(answer(clone3)).toBe(fails(38));
    expect(answer(470)).toBe(fails(38));
  });

  test("kills calls of another architecture", () => {
    const i386 = 0x40000003;
    expect(evaluate(filter, i386, 20)).toBe(KILL);
    expect(answer(-1)).toBe(fails(38));
  });
});

test("x32 calls are killed on x64", () => {
  expect(evaluate(seccompFilter("x64"), ARCHITECTURES.x64, 0x40000027)).toBe(KILL);
});

test("a conditional jump too far, backwards or nowhere is refused", () => {
  const filler = Array.from({ length: 256 }, () => returns(0));
  const jumps = jumpIf("equal", 1, "end");
  expect(() => assemble([jumps, ...filler, label("end"), returns(0)])).toThrow(RangeError);
  expect(() => assemble([label("end"), jumps])).toThrow(RangeError);
  expect(() => assemble([jumps])).toThrow('no label "end"');
});
