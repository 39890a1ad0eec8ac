/**
 * What all streams of a load have got so far, together.
 */
import { LatencyHistogram } from "../load/latency-histogram.ts";

export class Arrivals {
  /** Events delivered to any watch. */
  events = 0;
  /** Watches told to be created. */
  created = 0;
  /** From the sending of an event's put to its arrival. */
  latencies = new LatencyHistogram();

  /** Forgets the events so far. */
  resetEvents(): void {
    this.events = 0;
    this.latencies = new LatencyHistogram();
  }
}
