/** A worker that has much to load before it listens, as one that runs from its sources does. */
async function load(): Promise<void> {
  await Bun.sleep(200); // The load itself; nobody waits for this by time.
  await import("./pool-worker.ts");
}

if (!Bun.isMainThread) void load();
