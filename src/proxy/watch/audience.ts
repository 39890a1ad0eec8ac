/**
 * Those at an upstream watch who see the same of it: one range, one set of filters, with or without `prev_kv`.
 *
 * What they see is encoded once for all of them. They sit by client stream, so that a stream with many of them is
 * handed all its messages in one go.
 */
import type { KeyRange } from "../../etcd/key-range.ts";
import type { ClientStream } from "./client-stream.ts";
import type { PickedEvent } from "./events-body.ts";
import type { Subscriber, WatchOptions } from "./subscriber.ts";

/** The members of an audience that belong to one client stream. */
export interface Seat {
  readonly stream: ClientStream;
  readonly audience: Audience;
  readonly subscribers: Subscriber[];
  /** Its place in the audience. */
  index: number;
}

/** What distinguishes audiences of one range. */
export function viewOf(options: WatchOptions): number {
  return (
    (options.prevKv ? 1 : 0) |
    (options.noPut ? 2 : 0) |
    (options.noDelete ? 4 : 0) |
    (options.progressNotify ? 8 : 0)
  );
}

export class Audience {
  readonly range: KeyRange;
  readonly options: WatchOptions;
  readonly seats: Seat[] = [];
  size = 0;
  /** Nothing was sent since the last progress notification. */
  quiet = true;
  /** What the events under way bring it; filled and emptied within one flush. */
  picked: PickedEvent[] = [];
  readonly #byStream = new Map<ClientStream, Seat>();

  constructor(range: KeyRange, options: WatchOptions) {
    this.range = range;
    this.options = options;
  }

  add(subscriber: Subscriber): void {
    const { stream } = subscriber;
    let seat = this.#byStream.get(stream);
    if (seat === undefined) {
      seat = { stream, audience: this, subscribers: [], index: this.seats.length };
      this.#byStream.set(stream, seat);
      this.seats.push(seat);
    }
    subscriber.seat = seat;
    subscriber.seatIndex = seat.subscribers.length;
    seat.subscribers.push(subscriber);
    this.size++;
  }

  remove(subscriber: Subscriber): void {
    const seat = subscriber.seat!;
    const { subscribers } = seat;
    const last = subscribers.pop()!;
    if (last !== subscriber) {
      subscribers[subscriber.seatIndex] = last;
      last.seatIndex = subscriber.seatIndex;
    }
    subscriber.seat = null;
    this.size--;
    if (subscribers.length > 0) return;
    this.#byStream.delete(seat.stream);
    const lastSeat = this.seats.pop()!;
    if (lastSeat !== seat) {
      this.seats[seat.index] = lastSeat;
      lastSeat.index = seat.index;
    }
  }

  *subscribers(): Generator<Subscriber> {
    for (const seat of this.seats) yield* seat.subscribers;
  }

  /** Whether the filters let a put (or a deletion) through. */
  wants(isDelete: boolean): boolean {
    return isDelete ? !this.options.noDelete : !this.options.noPut;
  }
}
