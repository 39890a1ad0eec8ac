/**
 * What the lease hub may spend, and how long it waits: each bound with the load or the fault it is for.
 */
export interface LeaseLimits {
  /** Heartbeats of one client stream that are under way, at most: one that sends and does not read. */
  readonly clientHeartbeatsMax: number;
  /** Heartbeats that wait for one upstream stream's answers, at most: the others can still be dropped or shared. */
  readonly inFlightMax: number;
  /** The same, right after a status has ended a stream: what is sent behind the next cause of one is sent in vain. */
  readonly inFlightAfterStatusMax: number;
  /**
   * While many heartbeats come, the least time from one piece of them sent upstream to the next, in milliseconds: those
   * that come meanwhile go together, which spares both sides a wake-up for each.
   */
  readonly sendIntervalMs: number;
  /** How many heartbeats within that time are many: fewer go at once. */
  readonly manyHeartbeats: number;
  /** A piece of so many heartbeats does not wait for more. */
  readonly pieceHeartbeatsGoal: number;
  /** How long a client's answers wait for those to its other heartbeats in flight, in milliseconds: clients send many at once. */
  readonly holdMs: number;
  /** Times that a heartbeat is sent again because its stream was lost: a member that ends every stream. */
  readonly resendsMax: number;
  /** A status of a member in trouble counts for all heartbeats that are in flight for so long, in milliseconds. */
  readonly patienceMs: number;
  /** How long a heartbeat waits for a member to be reached, in milliseconds. */
  readonly waitMs: number;
  /** How long an upstream stream may go on answering once new heartbeats take another one, in milliseconds. */
  readonly retiringMs: number;
  /** How long an upstream stream outlives its last client stream, in milliseconds: clients that come back find it. */
  readonly lingerMs: number;
}

export const LEASE_LIMITS: LeaseLimits = {
  clientHeartbeatsMax: 256,
  inFlightMax: 4096,
  inFlightAfterStatusMax: 16,
  sendIntervalMs: 40,
  manyHeartbeats: 32,
  pieceHeartbeatsGoal: 256,
  holdMs: 5,
  resendsMax: 5,
  patienceMs: 5000,
  waitMs: 5000,
  retiringMs: 2000,
  lingerMs: 1000,
};
