import { InsienError } from "@insien/protocol";
import type { People } from "../src/app/people.ts";

const nobody = async (): Promise<never> => {
  throw new InsienError("sign_up_closed", "Nobody has an account here");
};

/** Nobody has an account, and nobody can make one. */
export const peopleDouble: People = {
  provider: undefined,
  authenticate: async () => undefined,
  config: async () => ({ signUp: "closed", needsFirstAccount: true }),
  signUp: nobody,
  signIn: nobody,
  refresh: nobody,
  signOut: async () => false,
  me: nobody,
  rename: nobody,
  changePassword: nobody,
  sessions: nobody,
  endSession: nobody,
  endSessions: nobody,
  create: nobody,
  list: nobody,
  setDisabled: nobody,
};
