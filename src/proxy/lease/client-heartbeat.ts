/**
 * One request of a client's LeaseKeepAlive stream, from its arrival until its answer has been handed over.
 *
 * It stands in two lists: behind the earlier requests of its stream, which are answered first, and among those that
 * share one upstream heartbeat.
 */
import type { ClientStream } from "./client-stream.ts";
import type { UpstreamHeartbeat } from "./upstream-heartbeat.ts";

export class ClientHeartbeat {
  readonly stream: ClientStream;
  /** Length of the request in bytes, prefix included. */
  readonly bytes: number;
  readonly arrivedMs: number;
  /** What carries it to a member; null once it is answered or given up. */
  carrier: UpstreamHeartbeat | null = null;
  /** A LeaseKeepAliveResponse, encoded, shared with others; null before. */
  answer: Uint8Array | null = null;
  /** The next request of the same client stream. */
  next: ClientHeartbeat | null = null;
  /** Neighbours among those with the same carrier. */
  previousSharer: ClientHeartbeat | null = null;
  nextSharer: ClientHeartbeat | null = null;

  constructor(stream: ClientStream, bytes: number, arrivedMs: number) {
    this.stream = stream;
    this.bytes = bytes;
    this.arrivedMs = arrivedMs;
  }

  /** Nothing carries it any more. */
  detach(): void {
    this.carrier = null;
    this.previousSharer = null;
    this.nextSharer = null;
  }
}
