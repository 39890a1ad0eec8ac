/** Asks the proxy for what the page shows, every other second, one question after the other, for ever. */
import { type EndpointsTold, readEndpoints } from "../model/endpoints-told.ts";
import { type Exposition, readExposition } from "../model/exposition.ts";

const PAUSE_MS = 2_000;
/** Longer than any worker is waited for. */
const PATIENCE_MS = 8_000;

export interface Answer {
  readonly metrics: Exposition;
  readonly endpoints: EndpointsTold;
}

export interface AnswerHandler {
  onAnswer(answer: Answer): void;
  /** There was none. `reason` is for people. */
  onFailure(reason: string): void;
}

export function askForEver(handler: AnswerHandler): void {
  const round = async (): Promise<void> => {
    const startedMs = performance.now();
    try {
      const [metrics, endpoints] = await Promise.all([textOf("/proxy/metrics"), textOf("/proxy/endpoints")]);
      handler.onAnswer({ metrics: readExposition(metrics), endpoints: readEndpoints(endpoints) });
    } catch (error) {
      handler.onFailure(reasonOf(error));
    }
    setTimeout(() => void round(), Math.max(PAUSE_MS / 2, PAUSE_MS - (performance.now() - startedMs)));
  };
  void round();
}

/** @throws Error when the proxy does not answer, or not with 200 */
async function textOf(path: string): Promise<string> {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(`${path} was answered with status ${answer.status}`);
  return await answer.text();
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return `no answer within ${PATIENCE_MS / 1000} s`;
  // What browsers say of a refused connection differs, and does not help.
  return error instanceof TypeError ? "it cannot be reached" : error.message;
}
