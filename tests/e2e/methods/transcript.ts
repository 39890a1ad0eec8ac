/**
 * What one side of a comparison said, made comparable: every answer, or code and text, in order.
 *
 * Stands between a method's case, which makes the same calls on both sides, and the test that wants the two
 * transcripts equal. What may differ between two calls of one method on one member is normalised here, and
 * nowhere else.
 */
import { type DescMessage, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";
import type { StatusObject } from "@grpc/grpc-js";

/** One thing that was said: `what` names the call, the rest is what came of it. */
export interface Said {
  readonly what: string;
  readonly answer?: JsonValue;
  readonly code?: number;
  readonly text?: string;
}

/**
 * Fields that differ between two calls for reasons of their own, by JSON name. They stay in the transcript, as
 * a mark: that one side has the field and the other has not would be seen.
 */
const VARYING: Readonly<Record<string, string>> = {
  raftTerm: "moves with each election",
  raftIndex: "moves with each write and with time",
  raftAppliedIndex: "moves with each write and with time",
  dbSize: "grows with each write",
  dbSizeInUse: "grows with each write",
  hash: "covers the whole database and its raft index",
  token: "made by chance for each authentication",
  authRevision: "moves with each change of users and roles",
};

/** The same for fields whose name means something else in other messages. */
const VARYING_IN: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "etcdserverpb.LeaseTimeToLiveResponse": { TTL: "what is left of the lease moves with time" },
};

/** Fields that hold a revision: compared as the distance from the cluster's revision when the case began. */
const REVISIONS = new Set([
  "revision",
  "createRevision",
  "modRevision",
  "compactRevision",
  "hashRevision",
  "rev",
]);

export class Transcript {
  readonly said: Said[] = [];
  /** Paths of the methods that were called. */
  readonly called = new Set<string>();
  readonly #baseRevision: bigint;

  /** @param baseRevision the cluster's revision before the first call. */
  constructor(baseRevision: bigint) {
    this.#baseRevision = baseRevision;
  }

  answer<Schema extends DescMessage>(what: string, schema: Schema, message: MessageShape<Schema>): void {
    const json = toJson(schema, message, { alwaysEmitImplicit: true }) as Record<string, JsonValue>;
    const varying = { ...VARYING, ...VARYING_IN[schema.typeName] };
    this.said.push({ what, answer: this.#normalise(json, varying) });
  }

  status(what: string, status: Pick<StatusObject, "code" | "details">): void {
    this.said.push({ what, code: status.code, text: status.details });
  }

  /** Something about an answer, where the answer itself cannot be compared. */
  note(what: string, answer: JsonValue): void {
    this.said.push({ what, answer });
  }

  #normalise(value: JsonValue, varying: Readonly<Record<string, string>>): JsonValue {
    if (Array.isArray(value)) return value.map((item) => this.#normalise(item, varying));
    if (typeof value !== "object" || value === null) return value;
    // The id of a member is made from the time at which it was added: one that has not started (it has no name
    // yet) is the case's own. Members come in the order of their ids.
    const ownMember = "peerURLs" in value && value["name"] === "";
    return Object.fromEntries(
      Object.entries(value).map(([name, field]) => {
        if (name === "ID" && ownMember) return [name, "<ID>"];
        if (name === "members" && Array.isArray(field)) {
          return [name, field.map((member) => this.#normalise(member, varying)).toSorted(byPeerUrls)];
        }
        if (name in varying) return [name, isZero(field) ? field : `<${name}>`];
        if (REVISIONS.has(name) && typeof field === "string") return [name, this.#distance(field)];
        return [name, this.#normalise(field, varying)];
      }),
    );
  }

  /** No revision (0), and one from before the case, which both sides see alike, stay as they are. */
  #distance(revision: string): string {
    const distance = BigInt(revision) - this.#baseRevision;
    return revision === "0" || distance < 0n ? revision : `base + ${distance}`;
  }
}

function byPeerUrls(one: JsonValue, other: JsonValue): number {
  return peerUrls(one).localeCompare(peerUrls(other));
}

function peerUrls(member: JsonValue): string {
  return JSON.stringify((member as { readonly peerURLs: JsonValue }).peerURLs);
}

function isZero(field: JsonValue): boolean {
  return field === "0" || field === "" || field === 0;
}
