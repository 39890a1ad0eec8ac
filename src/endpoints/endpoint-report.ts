/**
 * What checks say of an endpoint, and what is told of it to people: the words of logs, metrics and admin pages.
 */
import type { Endpoint } from "./endpoint.ts";

/**
 * What a check of one endpoint has found.
 *
 * - `fit`: it serves
 * - `unfit`: it answers, but should not be used while another one is fit: it has no leader, or is a learner
 * - `silent`: it does not answer, or nobody is there
 */
export type Verdict =
  | { readonly kind: "fit"; readonly latencyMs: number }
  | { readonly kind: "unfit"; readonly reason: string }
  | {
      readonly kind: "silent";
      readonly reason: string;
      /** Nobody is there: connections to it are refused. */
      readonly refused: boolean;
      /** It could not be asked, since its host name has no address now: connections that exist may be well. */
      readonly unresolved?: boolean;
    };

/** As in `Verdict`; `failed`: a dial or a connection failed a moment ago, and it is set aside. */
export type EndpointState = "fit" | "unfit" | "silent" | "failed";

/** What is known of one endpoint. */
export interface EndpointReport {
  readonly endpoint: Endpoint;
  readonly state: EndpointState;
  /** Why it is not fit, or failed last; undefined when it never did, or has worked since. */
  readonly reason: string | undefined;
  /** The mean time that it takes to answer a check; null while none was answered. */
  readonly latencyMs: number | null;
}
