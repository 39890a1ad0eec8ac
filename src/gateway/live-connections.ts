/** The gateway's open connections, and the moment when none is left. */
import type { GatewayConnection } from "./connection.ts";

export class LiveConnections extends Set<GatewayConnection> {
  #onEmpty = (): void => {};

  override delete(connection: GatewayConnection): boolean {
    const deleted = super.delete(connection);
    if (this.size === 0) this.#onEmpty();
    return deleted;
  }

  /** Resolves when no connection is open. */
  empty(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    if (this.size === 0) resolve();
    return promise;
  }
}
