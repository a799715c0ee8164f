import { type MachineId, asMachineId } from "@insien/protocol";
import { SignJWT, jwtVerify } from "jose";

const AUDIENCE = "line";

/**
 * Tokens by which an agent proves which machine it is. They carry no expiry: a machine may live for
 * weeks, and a token is worth nothing once its machine is gone, because the line then refuses it.
 */
export class LineTokens {
  readonly #secret: Uint8Array;

  constructor(jwtSecret: string) {
    this.#secret = new TextEncoder().encode(jwtSecret);
  }

  sign(machineId: MachineId): Promise<string> {
    return new SignJWT({})
      .setProtectedHeader({ alg: "HS256" })
      .setSubject(machineId)
      .setAudience(AUDIENCE)
      .setIssuedAt()
      .sign(this.#secret);
  }

  /** `undefined` for a token that is not ours, is changed, or is meant for something else. */
  async verify(token: string): Promise<MachineId | undefined> {
    try {
      const { payload } = await jwtVerify(token, this.#secret, {
        algorithms: ["HS256"],
        audience: AUDIENCE,
      });
      return payload.sub === undefined ? undefined : asMachineId(payload.sub);
    } catch {
      return undefined;
    }
  }
}
