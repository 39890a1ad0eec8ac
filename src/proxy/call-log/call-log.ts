/**
 * The log of every call (`--experimental-enable-grpc-logging`): its messages, and how it ended.
 *
 * Stands where a call comes into the router, so that callers of every protocol are logged alike, and is loaded only where it
 * was asked for. Lines have the names of the fields that etcd's own proxy logs. No metadata is ever looked at.
 */
import type { DescMethod } from "@bufbuild/protobuf";
import { methodPath, SERVICES } from "../../etcd/services.ts";
import type { ServerCall } from "../../grpc/server-call.ts";
import type { Logger } from "../../observe/log.ts";
import { LoggedCall } from "./logged-call.ts";

export interface CallLogOptions {
  readonly log: Logger;
  /** The values of keys are logged, too. */
  readonly values: boolean;
  /** Whose call it is where the call itself does not know: the client's address. */
  readonly clientAtWork: () => string | undefined;
}

export class CallLog {
  readonly #options: CallLogOptions;
  readonly #methods: ReadonlyMap<string, DescMethod>;
  #calls = 0;

  constructor(options: CallLogOptions) {
    this.#options = options;
    this.#methods = new Map(
      SERVICES.flatMap((service) => service.methods.map((method) => [methodPath(method), method] as const)),
    );
  }

  /** The call to serve in the place of `call`, which logs what passes. */
  wrap(call: ServerCall): ServerCall {
    const { log, values, clientAtWork } = this.#options;
    const peer = call.peer ?? clientAtWork();
    const number = ++this.#calls;
    return new LoggedCall(call, { log, values, peer, number, method: this.#methods.get(call.head.path) });
  }
}
