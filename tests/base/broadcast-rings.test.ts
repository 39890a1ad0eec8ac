import { describe, expect, test } from "bun:test";
import { BroadcastRings } from "../../src/base/broadcast-rings.ts";

const RING_BYTES = 256;

/** Ends of so many members in one memory. */
function ends(members: number, ringBytes = RING_BYTES): [BroadcastRings[], SharedArrayBuffer] {
  const memory = BroadcastRings.memory(members, ringBytes);
  const all = Array.from({ length: members }, (_, member) => new BroadcastRings(memory, members, member));
  for (const end of all) heard(end);
  return [all, memory];
}

function tell(end: BroadcastRings, text: string): void {
  end.publish(Buffer.from(text), text.length);
  end.announce();
}

/** What an end receives now: texts, and `!2` for each member that overtook it. */
function heard(end: BroadcastRings): string[] {
  const all: string[] = [];
  end.receive({
    onRecord: (bytes, start, to) => all.push(Buffer.from(bytes.subarray(start, to)).toString()),
    onOvertaken: (member) => all.push(`!${member}`),
  });
  return all;
}

describe("a record", () => {
  test("is received by every other member once, in its writer's order", () => {
    const [[a, b, c]] = ends(3);
    tell(a!, "one");
    tell(a!, "two");
    tell(c!, "three");
    expect(heard(b!)).toEqual(["one", "two", "three"]);
    expect(heard(b!)).toEqual([]);
    expect(heard(a!)).toEqual(["three"]);
    expect(heard(c!)).toEqual(["one", "two"]);
  });

  test("is news once it is announced, until it is received", () => {
    const [[a, b]] = ends(2);
    expect(b!.news).toBe(false);
    a!.publish(Buffer.from("one"), 3);
    expect(b!.news).toBe(false);
    a!.announce();
    expect(b!.news).toBe(true);
    heard(b!);
    expect(b!.news).toBe(false);
  });

  test("may be empty, and as long as the longest", () => {
    const [[a, b]] = ends(2);
    const longest = "x".repeat(a!.recordBytesMax);
    tell(a!, "");
    tell(a!, longest);
    expect(heard(b!)).toEqual(["", longest]);
  });

  test("is whole where the ring begins again, wherever that is", () => {
    const [[a, b]] = ends(2);
    for (let length = 0; length < 400; length++) {
      const text = String(length).padEnd(length % a!.recordBytesMax, ".");
      tell(a!, text);
      expect(heard(b!)).toEqual([text]);
    }
  });
});

describe("a member that does not look", () => {
  test("still has all that the ring holds", () => {
    const [[a, b]] = ends(2);
    const texts = Array.from({ length: RING_BYTES / 8 }, (_, index) => String(index));
    for (const text of texts) tell(a!, text);
    expect(heard(b!)).toEqual(texts);
  });

  test("is told once that it was overtaken, and by whom, and then receives what comes", () => {
    const [[a, b, c]] = ends(3);
    tell(c!, "kept");
    for (let count = 0; count < RING_BYTES / 8 + 1; count++) tell(a!, String(count));
    expect(heard(b!)).toEqual(["!0", "kept"]);
    tell(a!, "next");
    expect(heard(b!)).toEqual(["next"]);
  });

  test("finds the marks of who overtook it", () => {
    const [[a, b]] = ends(2);
    for (let count = 1; count <= 100; count++) {
      a!.setMark(0, count);
      tell(a!, "record");
    }
    a!.setMark(1, 2 ** 52);
    expect([b!.mark(0, 0), b!.mark(0, 1), b!.mark(1, 0)]).toEqual([100, 2 ** 52, 0]);
  });
});

describe("a member that comes later", () => {
  test("counts as overtaken by all, and receives what comes from then on", () => {
    const [[a, b], memory] = ends(2);
    tell(a!, "old");
    heard(b!);
    const later = new BroadcastRings(memory, 2, 1);
    expect(later.news).toBe(true);
    expect(heard(later)).toEqual(["!0", "!1"]);
    tell(a!, "new");
    expect(heard(later)).toEqual(["new"]);
  });

  test("goes on where one that died left off, and everybody was overtaken between", () => {
    const [[a, b], memory] = ends(2);
    tell(a!, "first");
    heard(b!);
    tell(a!, "unheard");
    new BroadcastRings(memory, 2, -1).skip(0);
    const successor = new BroadcastRings(memory, 2, 0);
    expect(b!.news).toBe(true);
    expect(heard(b!)).toEqual(["!0"]);
    tell(successor, "again");
    expect(heard(b!)).toEqual(["again"]);
  });

  test("is received from after any number of deaths: positions wrap around", () => {
    const [[a, b], memory] = ends(2, 1 << 26);
    const nobody = new BroadcastRings(memory, 2, -1);
    // Each takes the positions 2^23 units and one further: past 2^31 and 2^32.
    for (let death = 0; death < 600; death++) {
      nobody.skip(0);
      expect(heard(b!)).toEqual(["!0"]);
      tell(a!, `after ${death}`);
      expect(heard(b!)).toEqual([`after ${death}`]);
    }
  });
});
