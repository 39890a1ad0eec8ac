/**
 * What this thread spends its time on, sampled by the engine and told in the format of Chrome's developer tools.
 *
 * Invariant: however it ends, the engine does not go on sampling.
 */
import { Session } from "node:inspector";
import { type CpuProfile, withIdleSamples } from "./idle-samples.ts";

/** Between two samples, in microseconds. */
const SAMPLING_INTERVAL_US = 1000;

/** The engine has one sampler: a profile whose reader has gone is still being stopped when the next is asked for. */
let before: Promise<unknown> = Promise.resolve();

/** Samples until `seconds` have passed or `ended` is aborted. Returns a `.cpuprofile` as text. */
export function cpuProfile(seconds: number, ended: AbortSignal): Promise<string> {
  const profile = before.then(() => sampled(seconds, ended));
  before = profile.catch(() => {});
  return profile;
}

async function sampled(seconds: number, ended: AbortSignal): Promise<string> {
  const session = new Session();
  session.connect();
  try {
    await ask(session, "Profiler.enable");
    await ask(session, "Profiler.setSamplingInterval", { interval: SAMPLING_INTERVAL_US });
    await ask(session, "Profiler.start");
    const startedMs = performance.now();
    await passed(seconds * 1000, ended);
    const { profile } = (await ask(session, "Profiler.stop")) as { readonly profile: CpuProfile };
    // The engine's end is its last sample.
    const endTime = Math.max(profile.endTime, profile.startTime + 1000 * (performance.now() - startedMs));
    return JSON.stringify(withIdleSamples({ ...profile, endTime }, SAMPLING_INTERVAL_US));
  } finally {
    session.disconnect();
  }
}

function passed(timeMs: number, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, timeMs);
    function done(): void {
      clearTimeout(timer);
      ended.removeEventListener("abort", done);
      resolve();
    }
    ended.addEventListener("abort", done);
    if (ended.aborted) done();
  });
}

function ask(session: Session, method: string, options: object = {}): Promise<unknown> {
  return new Promise((resolve, reject) => {
    session.post(method, options, (error, answer) => {
      if (error === null) resolve(answer);
      else reject(new Error(`${method}: ${error.message}`));
    });
  });
}
