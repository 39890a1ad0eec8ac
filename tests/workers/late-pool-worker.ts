/** A worker that has much to load before it listens, as one that runs from its sources does. */
if (!Bun.isMainThread) {
  await Bun.sleep(200); // The load itself; nobody waits for this by time.
  await import("./pool-worker.ts");
}
export {};
