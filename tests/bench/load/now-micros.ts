/**
 * The clock of the load programs: whole microseconds since the program began, exact for half an hour, as long as a
 * latency histogram takes.
 */
export function nowMicros(): number {
  return (performance.now() * 1000) | 0;
}
