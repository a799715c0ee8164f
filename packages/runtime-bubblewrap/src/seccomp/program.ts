/**
 * A small assembler for classic BPF, as much of it as seccomp filters use. A program is a list of
 * steps with named labels; conditional jumps reach at most 255 instructions, and a longer one is
 * refused here rather than wrapped round in the kernel.
 */
const LOAD_WORD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_AT_LEAST = 0x35;
const JUMP_ANY_BIT = 0x45;
const JUMP_ALWAYS = 0x05;
const RETURN = 0x06;
const INSTRUCTION_BYTES = 8;
const LONGEST_CONDITIONAL_JUMP = 255;

type Condition = "equal" | "at-least" | "any-bit";

export type Step =
  | { do: "load"; offset: number }
  /** Goes to the label when the condition holds, else to the next step. */
  | { do: "jump-if"; condition: Condition; value: number; label: string }
  | { do: "jump"; label: string }
  | { do: "return"; action: number }
  | { do: "label"; label: string };

export const load = (offset: number): Step => ({ do: "load", offset });
export const jumpIf = (condition: Condition, value: number, label: string): Step => ({
  do: "jump-if",
  condition,
  value,
  label,
});
export const jump = (label: string): Step => ({ do: "jump", label });
export const returns = (action: number): Step => ({ do: "return", action });
export const label = (name: string): Step => ({ do: "label", label: name });

const CONDITION_CODES: Record<Condition, number> = {
  equal: JUMP_EQUAL,
  "at-least": JUMP_AT_LEAST,
  "any-bit": JUMP_ANY_BIT,
};

/** The program as an array of `struct sock_filter`, in the byte order of x86_64 and aarch64. */
export function assemble(steps: readonly Step[]): Buffer {
  const { addresses, length } = placeLabels(steps);
  const program = Buffer.alloc(length * INSTRUCTION_BYTES);
  let address = 0;
  for (const step of steps) {
    if (step.do === "label") continue;
    write(program, address, step, addresses);
    address += 1;
  }
  return program;
}

function placeLabels(steps: readonly Step[]) {
  const addresses = new Map<string, number>();
  let length = 0;
  for (const step of steps) {
    if (step.do === "label") addresses.set(step.label, length);
    else length += 1;
  }
  return { addresses, length };
}

function write(
  program: Buffer,
  address: number,
  step: Exclude<Step, { do: "label" }>,
  addresses: ReadonlyMap<string, number>,
): void {
  const distance = (name: string): number => {
    const target = addresses.get(name);
    if (target === undefined) throw new RangeError(`no label "${name}"`);
    return target - address - 1;
  };
  const put = (code: number, jumpTrue: number, value: number) => {
    program.writeUInt16LE(code, address * INSTRUCTION_BYTES);
    program.writeUInt8(jumpTrue, address * INSTRUCTION_BYTES + 2);
    program.writeUInt32LE(value >>> 0, address * INSTRUCTION_BYTES + 4);
  };
  if (step.do === "load") put(LOAD_WORD, 0, step.offset);
  else if (step.do === "return") put(RETURN, 0, step.action);
  else if (step.do === "jump") put(JUMP_ALWAYS, 0, distance(step.label));
  else {
    const reach = distance(step.label);
    if (reach < 0 || reach > LONGEST_CONDITIONAL_JUMP) {
      throw new RangeError(`"${step.label}" is ${reach} instructions away`);
    }
    put(CONDITION_CODES[step.condition], reach, step.value);
  }
}
