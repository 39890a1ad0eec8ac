/**
 * A cluster of members for the watch hub, all in memory: whatever takes time in a real one takes place when a test
 * says so, in the order that it says.
 *
 * `actions` lists what could happen next; a test takes one, and so chooses among all interleavings. What each stream
 * says stays in its order, as over HTTP/2.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { ResponseHeaderSchema } from "../../../src/gen/etcdserverpb/header_pb.ts";
import { Code, type Status } from "../../../src/grpc/status.ts";
import type {
  RevisionReadHandler,
  WatchCall,
  WatchCallHandler,
  WatchCalls,
} from "../../../src/proxy/watch/watch-calls.ts";
import type { KeyRange as ProxyKeyRange } from "../../../src/etcd/key-range.ts";
import { covers, type KeyRange } from "./key-range.ts";
import { ModelCall } from "./model-call.ts";
import { ModelOwnUser } from "./model-own-user.ts";
import { INVALID_AUTH_TOKEN, PERMISSION_DENIED, USER_EMPTY } from "./model-refusals.ts";
import { ModelMember } from "./model-member.ts";
import {
  COMPACTED,
  type EtcdVersion,
  type ModelServerStream,
  type StreamRules,
} from "./model-server-stream.ts";
import { ModelStore } from "./model-store.ts";

/** How a read is refused for the same reasons. */
const REFUSED_READS: Readonly<Record<string, Status>> = {
  [PERMISSION_DENIED]: { code: Code.PERMISSION_DENIED, message: "etcdserver: permission denied" },
  [INVALID_AUTH_TOKEN]: { code: Code.UNAUTHENTICATED, message: "etcdserver: invalid auth token" },
  [USER_EMPTY]: { code: Code.INVALID_ARGUMENT, message: "etcdserver: user name is empty" },
};
const FUTURE = "etcdserver: mvcc: required revision is a future revision";
export const NO_LEADER: Status = { code: Code.UNAVAILABLE, message: "etcdserver: no leader" };
export const UNREACHABLE: Status = { code: Code.UNAVAILABLE, message: "no member can be reached" };
export const CONNECTION_LOST: Status = { code: Code.UNAVAILABLE, message: "connection lost" };

const CLUSTER_ID = 0xc1n;
const FIRST_MEMBER_ID = 0xa1n;

export interface ModelEtcdOptions {
  readonly members?: number;
  readonly version?: EtcdVersion;
  readonly fragmentBytes?: number;
  readonly syncRevisionsMax?: number;
  /** Answers that wait for `consume` on one call. */
  readonly windowBytes?: number;
  /** The ranges each token may watch; without it auth is off. */
  readonly permissions?: Readonly<Record<string, readonly KeyRange[]>>;
  /** The proxy has a user of its own. */
  readonly ownUser?: boolean;
}

interface PendingRead {
  readonly token: string;
  readonly range: KeyRange;
  /** 0: the present. */
  readonly revision: number;
  readonly member: ModelMember;
  readonly handler: RevisionReadHandler;
  /** Of the cluster, not of the member. */
  readonly latest?: boolean;
}

const ANY_KEY: KeyRange = { key: "\0", end: "\0\0" };

/** Something that may happen next. */
export interface Action {
  readonly name: string;
  readonly run: () => void;
}

export class ModelEtcd implements WatchCalls {
  readonly store = new ModelStore();
  readonly members: readonly ModelMember[];
  /** Calls that are not over. */
  calls: ModelCall[] = [];
  readonly expiredTokens = new Set<string>();
  /** The newest revision that may be shown to who has a token that had ended when the last call was lost. */
  readonly lastRevisionFor = new Map<string, number>();
  /** False: calls that require a leader end. */
  hasLeader = true;
  /** False: calls and reads that are under way fail instead of getting through. */
  reachable = true;
  /** How often calls that require a leader were ended for want of one. */
  leaderLosses = 0;
  /** Reads of the revision that failed or were refused. */
  failedReads = 0;
  readonly clusterId = CLUSTER_ID;
  /** What the hub did that it must not. */
  readonly violations: string[] = [];
  /** The proxy's own user, if it has one. */
  readonly own: ModelOwnUser | null;
  /** Reasons for which members ended watches by their own will. */
  readonly ownReasons = new Set<string>();
  #member: ModelMember;
  /** Those who want to know what the hub may have been told since they asked. */
  readonly #askers: {
    readonly thenRevision: ReadonlyMap<ModelMember, number>;
    readonly asked: Set<ModelMember>;
  }[] = [];
  readonly #rules: StreamRules;
  readonly #windowBytes: number;
  readonly #permissions: Readonly<Record<string, readonly KeyRange[]>> | undefined;
  #reads: PendingRead[] = [];

  constructor(options: ModelEtcdOptions = {}) {
    this.members = Array.from(
      { length: options.members ?? 1 },
      (_, at) => new ModelMember(FIRST_MEMBER_ID + BigInt(at), this.store),
    );
    this.#member = this.members[0]!;
    this.#permissions = options.permissions;
    this.own = options.ownUser === true ? new ModelOwnUser(this.violations) : null;
    this.#windowBytes = options.windowBytes ?? 256 * 1024;
    this.#rules = {
      version: options.version ?? "3.5",
      clusterId: CLUSTER_ID,
      fragmentBytes: options.fragmentBytes ?? 1.5 * 1024 * 1024,
      syncRevisionsMax: options.syncRevisionsMax ?? 1000,
      refusal: (token, range) => this.refusal(token, range),
    };
  }

  /** The member that new calls go to. */
  get member(): ModelMember {
    return this.#member;
  }

  set member(member: ModelMember) {
    if (member === this.#member) return;
    this.#member = member;
    for (const { asked } of this.#askers) asked.add(member);
    for (const call of this.calls.slice()) call.supersede();
  }

  /**
   * What an answer to a request of this moment must tell at least, as far as is known when it is called: the
   * revision that the least advanced of the members in use had in this moment.
   */
  leastRevision(): () => number {
    const thenRevision = new Map(this.members.map((member) => [member, member.revision]));
    const asked = new Set([
      this.#member,
      ...this.calls.filter(({ over }) => !over).map(({ member }) => member),
    ]);
    this.#askers.push({ thenRevision, asked });
    return () => Math.min(...[...asked].map((member) => thenRevision.get(member) ?? 0));
  }

  open(token: string, requireLeader: boolean, handler: WatchCallHandler): WatchCall {
    const options = {
      token,
      requireLeader,
      member: this.member,
      windowBytes: this.#windowBytes,
      violations: this.violations,
    };
    const call = new ModelCall(options, this.#rules, handler);
    this.calls.push(call);
    return call;
  }

  /** A model does what etcd does. */
  tellOfLimit(limit: string, reason: string): void {
    this.violations.push(`${limit}: ${reason}`);
  }

  readRevision(
    token: string,
    range: ProxyKeyRange | null,
    revision: number,
    handler: RevisionReadHandler,
  ): void {
    const asked = range === null ? ANY_KEY : { key: range.start, end: range.end ?? undefined };
    this.#reads.push({ token, range: asked, revision, handler, member: this.member });
  }

  /** The leader's revision, whichever member is asked. */
  readLatest(token: string, range: ProxyKeyRange, handler: RevisionReadHandler): void {
    const asked = { key: range.start, end: range.end ?? undefined };
    this.#reads.push({ token, range: asked, revision: 0, handler, member: this.member, latest: true });
  }

  /** Auth is on. */
  get wantsTokens(): boolean {
    return this.#permissions !== undefined;
  }

  /** Why `token` may not watch `range` now, or undefined. */
  refusal(token: string, range: KeyRange): string | undefined {
    if (this.#permissions === undefined) return undefined;
    if (token === "") return USER_EMPTY;
    if (this.own?.owns(token) === true) return this.own.refusal(token, range);
    const permitted = this.#permissions[token];
    if (permitted === undefined || this.expiredTokens.has(token)) return INVALID_AUTH_TOKEN;
    return permitted.some((outer) => covers(outer, range)) ? undefined : PERMISSION_DENIED;
  }

  /** What could happen next, besides faults and the passing of time. */
  get actions(): Action[] {
    this.calls = this.calls.filter(({ over }) => !over);
    const actions: Action[] = [];
    const add = (name: string, run: () => void) => actions.push({ name, run });
    for (const [at, member] of this.members.entries()) {
      if (member.lag > 0) add(`member ${at} applies an entry`, () => member.apply(1));
    }
    const { own } = this;
    if (own?.pending === true) {
      add("the proxy's own user is answered", () => own.answer(this.reachable));
    }
    for (const [at, read] of this.#reads.entries()) {
      add(`read ${at} is answered`, () => this.#answerRead(at, read));
    }
    for (const [at, call] of this.calls.entries()) this.#addActionsOf(call, `call ${at}`, add);
    return actions;
  }

  /** Lets everything happen that can, until nothing is left. */
  drain(): void {
    for (let round = 0; ; round++) {
      const [next] = this.actions;
      if (next === undefined) return;
      if (round > 100_000) throw new Error(`the model does not come to rest: ${next.name}`);
      next.run();
    }
  }

  /** The connections of a member are lost. */
  cut(member: ModelMember, status: Status = CONNECTION_LOST): void {
    const lost = this.calls.filter((call) => call.member === member && !call.over);
    const others = this.calls.filter((call) => call.member !== member && !call.over);
    for (const call of lost) call.end(status);
    // What lives beside them, or was begun since a token ended, may be shown on.
    if (lost.length === 0 || others.length > 0 || this.own !== null) return;
    for (const token of this.expiredTokens) {
      if (!this.lastRevisionFor.has(token)) this.lastRevisionFor.set(token, this.store.revision);
    }
  }

  loseLeader(): void {
    this.hasLeader = false;
    for (const call of this.calls.slice()) {
      if (call.requireLeader && call.stream !== undefined) this.#endLeaderless(call);
    }
  }

  /** A member ends a watch, on whatever stream, as none does of itself so far. */
  cancelWatch(stream: ModelServerStream, id: number, reason: string): void {
    this.ownReasons.add(reason);
    stream.cancelWatch(id, reason);
  }

  /** Watches that the hub means to have at the members, on all calls. */
  get watchesWanted(): number {
    return this.calls.reduce((sum, { over, wanted }) => sum + (over ? 0 : wanted.size), 0);
  }

  /** Watches that members hold for the hub, on all calls. */
  get watches(): number {
    return this.calls.reduce((sum, { over, stream }) => sum + (over ? 0 : (stream?.watches.size ?? 0)), 0);
  }

  #addActionsOf(call: ModelCall, name: string, add: (name: string, run: () => void) => void): void {
    const { stream } = call;
    if (stream === undefined) {
      add(`${name} connects`, () => this.#connect(call));
      return;
    }
    if (call.requestsWaiting > 0) add(`${name}: the member takes a request`, () => call.takeRequest());
    if (stream.unsynced) add(`${name}: the member syncs`, () => stream.sync());
    if (stream.pending) {
      add(`${name}: the member answers, events first`, () => stream.pump(true));
      add(`${name}: the member answers, events last`, () => stream.pump(false));
    }
    if (call.answerWaits) add(`${name}: an answer arrives`, () => call.deliver());
  }

  #connect(call: ModelCall): void {
    if (!this.reachable) call.end(UNREACHABLE);
    else if (call.requireLeader && !this.hasLeader) this.#endLeaderless(call);
    else call.connect();
  }

  #endLeaderless(call: ModelCall): void {
    this.leaderLosses++;
    call.end(NO_LEADER);
  }

  #answerRead(at: number, { token, range, revision, handler, member, latest }: PendingRead): void {
    this.#reads.splice(at, 1);
    const refused = REFUSED_READS[this.refusal(token, range) ?? ""];
    if (latest === true && this.reachable && refused === undefined) member.apply(Number.POSITIVE_INFINITY);
    else if (latest !== true && (!this.reachable || refused !== undefined)) this.failedReads++;
    if (!this.reachable) {
      handler.onFailed(UNREACHABLE);
    } else if (refused !== undefined) {
      handler.onFailed(refused);
    } else if (revision !== 0 && revision < member.compactRevision) {
      handler.onFailed({ code: Code.OUT_OF_RANGE, message: COMPACTED });
    } else if (revision > member.revision) {
      handler.onFailed({ code: Code.OUT_OF_RANGE, message: FUTURE });
    } else {
      const header = create(ResponseHeaderSchema, {
        clusterId: CLUSTER_ID,
        memberId: member.id,
        revision: BigInt(member.revision),
        raftTerm: member.raftTerm,
      });
      const bytes = toBinary(ResponseHeaderSchema, header);
      handler.onHeader(bytes, 0, bytes.length);
      bytes.fill(0xdd);
    }
  }
}
