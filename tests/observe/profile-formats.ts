/** Whether profiles and snapshots are what the tools of Chrome can open: their parts have to fit together. */
import { expect } from "bun:test";

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly scriptId: string;
      readonly url: string;
      readonly lineNumber: number;
      readonly columnNumber: number;
    };
    readonly children?: readonly number[];
  }[];
  readonly startTime: number;
  readonly endTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Checks a `.cpuprofile`. Returns the names of the functions in it. */
export function checkCpuProfile(body: Uint8Array): string[] {
  const { nodes, samples, timeDeltas, startTime, endTime } = parsed(body) as CpuProfile;
  const ids = new Set(nodes.map(({ id }) => id));
  expect(ids.size).toBe(nodes.length);
  const children = nodes.flatMap((node) => node.children ?? []);
  expect(children.every((id) => ids.has(id))).toBe(true);
  // A tree: each but the root hangs below one other.
  expect(new Set(children).size).toBe(children.length);
  expect(children.length).toBe(nodes.length - 1);
  expect(samples.every((id) => ids.has(id))).toBe(true);
  expect(timeDeltas.length).toBe(samples.length);
  expect(timeDeltas.every((microseconds) => microseconds >= 0)).toBe(true);
  expect(endTime).toBeGreaterThanOrEqual(startTime);
  for (const { callFrame } of nodes) {
    const { functionName, scriptId, url, lineNumber, columnNumber } = callFrame;
    expect([functionName, scriptId, url].map((field) => typeof field)).toEqual([
      "string",
      "string",
      "string",
    ]);
    expect([lineNumber, columnNumber].map((field) => Number.isInteger(field))).toEqual([true, true]);
  }
  return nodes.map(({ callFrame }) => callFrame.functionName);
}

interface HeapSnapshot {
  readonly snapshot: {
    readonly meta: { readonly node_fields: readonly string[]; readonly edge_fields: readonly string[] };
    readonly node_count: number;
    readonly edge_count: number;
  };
  readonly nodes: readonly number[];
  readonly edges: readonly number[];
  readonly strings: readonly string[];
}

/** Checks a `.heapsnapshot`. */
export function checkHeapSnapshot(body: Uint8Array): void {
  const { snapshot, nodes, edges, strings } = parsed(body) as HeapSnapshot;
  const nodeFields = snapshot.meta.node_fields;
  const edgeFields = snapshot.meta.edge_fields;
  expect(snapshot.node_count).toBeGreaterThan(1000);
  expect(nodes.length).toBe(snapshot.node_count * nodeFields.length);
  expect(edges.length).toBe(snapshot.edge_count * edgeFields.length);
  const nameAt = nodeFields.indexOf("name");
  const edgeCountAt = nodeFields.indexOf("edge_count");
  let edgesTold = 0;
  let namesBeyond = 0;
  for (let at = 0; at < nodes.length; at += nodeFields.length) {
    edgesTold += nodes[at + edgeCountAt]!;
    if (nodes[at + nameAt]! >= strings.length) namesBeyond++;
  }
  expect({ edgesTold, namesBeyond }).toEqual({ edgesTold: snapshot.edge_count, namesBeyond: 0 });
  const toNodeAt = edgeFields.indexOf("to_node");
  let edgesAstray = 0;
  for (let at = 0; at < edges.length; at += edgeFields.length) {
    const to = edges[at + toNodeAt]!;
    if (to >= nodes.length || to % nodeFields.length !== 0) edgesAstray++;
  }
  expect(edgesAstray).toBe(0);
}

function parsed(body: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(body));
}
