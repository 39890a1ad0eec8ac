/**
 * Doing one thing to very many, spread over time: so that clients who are all sent away do not all arrive elsewhere in
 * the same moment.
 */

/** As many as are done at once without a second thought. */
const BATCH_MIN = 128;
/** The pause between two batches, in milliseconds. */
const STEP_MS = 50;

/** Calls `act` with each of `items`, as they are now, within about `spreadMs` milliseconds; few at once. */
export async function inBatches<Item>(
  items: Iterable<Item>,
  spreadMs: number,
  act: (item: Item) => void,
): Promise<void> {
  const all = [...items];
  const batches = Math.max(1, Math.floor(spreadMs / STEP_MS));
  const size = Math.max(BATCH_MIN, Math.ceil(all.length / batches));
  for (let at = 0; at < all.length; at += size) {
    if (at > 0) await Bun.sleep(STEP_MS);
    for (const item of all.slice(at, at + size)) act(item);
  }
}
