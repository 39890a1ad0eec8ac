// Waiting for something to happen inside this process: sockets' events, counters.
import { waitFor } from "../harness/wait-for.ts";

/** Resolves once `condition` holds; a wait in vain fails with the condition's own text. */
export async function until(condition: () => boolean): Promise<void> {
  await waitFor(String(condition), condition, { intervalMs: 1 });
}
