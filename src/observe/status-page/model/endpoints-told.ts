/**
 * What `/proxy/endpoints` tells, as the page uses it: anything that it does not understand is left out, or empty, and never a
 * reason to show nothing.
 */

export interface ToldEndpoint {
  readonly endpoint: string;
  /** `fit`, `unfit`, `silent`, `failed`, or what a newer proxy may say. */
  readonly state: string;
  readonly reason: string;
  readonly latencySeconds: number | null;
  readonly priority: number | null;
  readonly weight: number | null;
  /** The gateway's. */
  readonly connections: number | null;
  /** The grpc-proxy's. */
  readonly inUse: boolean;
}

export interface ToldEvent {
  /** Milliseconds since 1970. */
  readonly timeMs: number;
  readonly endpoint: string;
  readonly kind: string;
  readonly reason: string;
  readonly worker: number | null;
}

export interface EndpointsTold {
  readonly endpoints: readonly ToldEndpoint[];
  /** Newest first. */
  readonly events: readonly ToldEvent[];
  readonly draining: boolean;
}

/** How good what is told is. */
export type Tone = "good" | "fair" | "bad" | "quiet";

/** @throws SyntaxError when `text` is no JSON */
export function readEndpoints(text: string): EndpointsTold {
  const { endpoints, events, draining } = fieldsOf(JSON.parse(text));
  return {
    endpoints: itemsOf(endpoints).map((told) => ({
      endpoint: textOf(told["endpoint"]),
      state: textOf(told["state"]),
      reason: textOf(told["reason"]),
      latencySeconds: numberOf(told["latencySeconds"]),
      priority: numberOf(told["priority"]),
      weight: numberOf(told["weight"]),
      connections: numberOf(told["connections"]),
      inUse: told["inUse"] === true,
    })),
    events: itemsOf(events).flatMap((told) => {
      const timeMs = Date.parse(textOf(told["time"]));
      if (Number.isNaN(timeMs)) return [];
      const worker = numberOf(told["worker"]);
      const [endpoint, kind, reason] = [
        textOf(told["endpoint"]),
        textOf(told["kind"]),
        textOf(told["reason"]),
      ];
      return [{ timeMs, endpoint, kind, reason, worker }];
    }),
    draining: draining === true,
  };
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function itemsOf(value: unknown): Fields[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}

const STATE_TONES: Readonly<Record<string, Tone>> = {
  fit: "good",
  unfit: "fair",
  silent: "bad",
  failed: "bad",
};

export function toneOfState(state: string): Tone {
  return STATE_TONES[state] ?? "quiet";
}

const EVENTS: Readonly<Record<string, readonly [words: string, tone: Tone]>> = {
  connected: ["connected", "good"],
  failed: ["failed", "bad"],
  fit: ["passes its checks", "good"],
  unfit: ["fails its checks", "fair"],
  silent: ["does not answer checks", "bad"],
  added: ["listed", "quiet"],
  removed: ["no longer listed", "quiet"],
  restarted: ["restarted", "quiet"],
};

/** An event in words. */
export function wordedEvent(kind: string): { readonly words: string; readonly tone: Tone } {
  const [words, tone] = EVENTS[kind] ?? [kind, "quiet"];
  return { words, tone };
}

/** What was wrong with an endpoint last, as far as is known; `timeMs` null: it is so now. */
export function lastFailure(
  { endpoint, reason }: ToldEndpoint,
  events: readonly ToldEvent[],
): { readonly reason: string; readonly timeMs: number | null } | null {
  if (reason !== "") return { reason, timeMs: null };
  const failure = events.find(
    (event) => event.endpoint === endpoint && ["failed", "silent", "unfit"].includes(event.kind),
  );
  return failure === undefined ? null : { reason: failure.reason || failure.kind, timeMs: failure.timeMs };
}

/** What the page says of the proxy as a whole while it answers. */
export function proxyState({ endpoints, draining }: EndpointsTold): {
  readonly words: string;
  readonly tone: Tone;
} {
  if (draining) return { words: "Draining: it finishes what is under way, then stops", tone: "fair" };
  const answering = endpoints.filter(({ state }) => state === "fit" || state === "unfit").length;
  if (answering === 0) return { words: "No endpoint answers", tone: "bad" };
  const fit = endpoints.filter(({ state }) => state === "fit").length;
  if (fit === endpoints.length) return { words: "Serving", tone: "good" };
  return { words: `Serving, ${fit} of ${endpoints.length} endpoints fit`, tone: "fair" };
}
