/** A report of an outage that nobody noticed, for tests of those who read reports. */
import type { CallFigures } from "./call-log.ts";
import type { OutageReport } from "./outage-run.ts";

export const calm: CallFigures = { silenceMs: 25, answered: 100, failed: {}, details: {} };

export const calmReport: OutageReport = {
  figures: { reads: calm, serializableReads: calm, writes: calm, events: calm },
  gotOnMeanwhile: true,
  heldMs: 12_000,
  unservedMs: 0,
  acknowledgedWrites: 50,
  lostWrites: [],
  staleReads: [],
  watches: 8,
  missedEvents: 0,
  doubledEvents: 0,
  misplacedEvents: 0,
  watchViolations: [],
  leases: 6,
  lostLeases: [],
};
