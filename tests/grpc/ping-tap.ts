/** Counts the keepalive pings, and their answers, that connections through a relay carry. */
import { KEEPALIVE_PING } from "../../src/http2/keepalive.ts";
import { ACK, ping } from "../http2/frames.ts";
import type { RelayTap } from "../harness/tcp-relay.ts";

const PING = Buffer.from(ping(KEEPALIVE_PING.toString("latin1")));
const ANSWER = Buffer.from(ping(KEEPALIVE_PING.toString("latin1"), ACK));

export class PingTap {
  /** From the side that has connected. */
  asked = 0;
  /** From the side that was connected to. */
  answered = 0;

  /** For `TcpRelay`. */
  readonly tap = (): RelayTap => ({
    onClientBytes: (bytes) => {
      this.asked += occurrences(bytes, PING);
    },
    onTargetBytes: (bytes) => {
      this.answered += occurrences(bytes, ANSWER);
    },
  });
}

/** A frame this small comes in one piece. */
function occurrences(bytes: Uint8Array, what: Buffer): number {
  const haystack = Buffer.from(bytes);
  let count = 0;
  for (let at = haystack.indexOf(what); at >= 0; at = haystack.indexOf(what, at + what.length)) count++;
  return count;
}
