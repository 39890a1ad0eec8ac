/**
 * A call to a member as those see it who make it: `ClientCall` itself, or something between it and them.
 *
 * `Upstream.openCall` opens every call there is to a member, so that what has to happen to all of them (the mapping of a
 * namespace) has one place.
 */
import type { HeaderField } from "../hpack/header-field.ts";
import { ClientCall, type ClientCallHandler } from "./client-call.ts";
import type { Upstream } from "./upstream.ts";

export interface MemberCall {
  readonly upstream: Upstream;
  /** Sends bytes of request messages. Returns how many have left; `onRequestSent` reports the others. */
  sendMessageBytes(bytes: Uint8Array, start: number, end: number, halfClose: boolean): number;
  halfClose(): void;
  /** The caller is done with `bytes` bytes of the answer. */
  consume(bytes: number): void;
  /** Gives the call up; the handler hears no more. */
  cancel(): void;
}

/**
 * Opens the call of the method at `path` on a connection that `canOpen`; `fields` is its request section.
 * `receiveBytesMax` bounds each message of the answer.
 */
export type OpenMemberCall = (
  upstream: Upstream,
  path: string,
  fields: readonly HeaderField[],
  receiveBytesMax: number,
  handler: ClientCallHandler,
) => MemberCall;

export const openClientCall: OpenMemberCall = (upstream, _path, fields, receiveBytesMax, handler) =>
  new ClientCall(upstream, fields, receiveBytesMax, handler);
