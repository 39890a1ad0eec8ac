/**
 * Puts into a profile the time in which no JavaScript ran, as tools for Chrome's profiles know it: samples of `(idle)`.
 *
 * The engine samples only while JavaScript runs, and a tool takes what was sampled to go on until the next sample: a function
 * that ran once before a second of rest would seem to have run for a second. Rest is here whatever is not JavaScript, system
 * calls and the collection of garbage too.
 */

/** What is looked at here of a `.cpuprofile`; times in microseconds. */
export interface CpuProfile {
  readonly nodes: readonly CpuProfileNode[];
  readonly startTime: number;
  readonly endTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface CpuProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly scriptId: string;
    readonly url: string;
    readonly lineNumber: number;
    readonly columnNumber: number;
  };
  readonly hitCount: number;
  readonly children?: readonly number[];
}

/** Samples that are so many intervals apart have a rest between them. Of a busy thread nine of ten are less than four apart. */
const REST_INTERVALS = 10;

/** @param intervalUs between two samples while JavaScript runs, in microseconds. The root is the first of the nodes. */
export function withIdleSamples(profile: CpuProfile, intervalUs: number): CpuProfile {
  const { nodes, startTime, endTime } = profile;
  const [root, ...others] = nodes;
  if (root === undefined) return profile;
  const idle = 1 + Math.max(...nodes.map(({ id }) => id));
  const samples: number[] = [];
  const timeDeltas: number[] = [];
  let idleUs = 0;
  let toldUs = 0;
  /** The time up to the next sample, or to the end. Returns what of it is still to be told with that. */
  const pass = (deltaUs: number): number => {
    toldUs += deltaUs;
    if (deltaUs <= REST_INTERVALS * intervalUs) return deltaUs;
    const beforeUs = samples.length === 0 ? 0 : intervalUs;
    samples.push(idle);
    timeDeltas.push(beforeUs);
    idleUs += deltaUs - beforeUs;
    return deltaUs - beforeUs;
  };
  for (const [index, sample] of profile.samples.entries()) {
    timeDeltas.push(pass(profile.timeDeltas[index] ?? 0));
    samples.push(sample);
  }
  pass(endTime - startTime - toldUs);
  if (idleUs === 0) return profile;
  const hits = nodes.reduce((sum, { hitCount }) => sum + hitCount, 0);
  // Tools share the whole time out by hits.
  const busyUs = endTime - startTime - idleUs;
  const hitCount = hits === 0 ? 1 : Math.round((hits * idleUs) / Math.max(busyUs, intervalUs));
  const callFrame = { functionName: "(idle)", scriptId: "0", url: "", lineNumber: -1, columnNumber: -1 };
  return {
    ...profile,
    nodes: [
      { ...root, children: [...(root.children ?? []), idle] },
      ...others,
      { id: idle, callFrame, hitCount },
    ],
    samples,
    timeDeltas,
  };
}
