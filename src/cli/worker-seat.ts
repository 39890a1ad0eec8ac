/** The place of a product among several workers that listen on one port of one process. */
import type { WorkerPart } from "../proxy/worker-part.ts";

/** The gateway needs to know only that there is one. */
export type WorkerSeat = WorkerPart;
