import type { Principal } from "./principal.ts";

/** The numbers of this process, for those who watch over it. */
export interface Metrics {
  /** A request was answered; `route` is the pattern that it matched, of which there are few. */
  request(request: { method: string; route: string; status: number; seconds: number }): void;
  /** All numbers as text. Throws `forbidden` for who is no administrator. */
  read(principal: Principal): Promise<{ contentType: string; text: string }>;
}
