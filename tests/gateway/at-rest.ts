// A number that has come to rest, where a test waits for something to stop.
import { until } from "../net/until.ts";

/** Turns of the event loop, each with all that the sockets of this process had to say. */
const TURNS = 20;

/** Resolves to what `read` tells once it is not 0 and has not changed for a while. */
export async function atRest(read: () => number): Promise<number> {
  let seen = 0;
  let turns = 0;
  await until(() => {
    const now = read();
    turns = now === seen ? turns + 1 : 0;
    seen = now;
    return seen > 0 && turns === TURNS;
  });
  return seen;
}
