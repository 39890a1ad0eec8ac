/**
 * The window of a connection that we grant the peer (RFC 9113 §6.9): checked on receipt, and filled up again
 * once half of it is used, whoever the DATA is for. So only a stream's own window ever waits for its reader.
 */
import { ConnectionError, ErrorCode } from "./error-code.ts";
import { CONNECTION_WINDOW_BYTES } from "./limits.ts";

export class ReceiveWindow {
  #bytes = CONNECTION_WINDOW_BYTES;

  /**
   * The peer has used `bytes` of the window.
   * @returns the credit to give back now, 0 for none
   * @throws ConnectionError FLOW_CONTROL_ERROR when it has used more than it was granted
   */
  use(bytes: number): number {
    this.#bytes -= bytes;
    if (this.#bytes < 0) {
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the connection's window");
    }
    if (this.#bytes >= CONNECTION_WINDOW_BYTES / 2) return 0;
    const credit = CONNECTION_WINDOW_BYTES - this.#bytes;
    this.#bytes = CONNECTION_WINDOW_BYTES;
    return credit;
  }
}
