/** The checks of `/readyz` of a grpc-proxy: what each finds wrong, and what it does not care about. */
import { describe, expect, test } from "bun:test";
import { healthAnswer } from "../../src/observe/page.ts";
import { readinessChecks, type ReadinessSources } from "../../src/proxy/pages/readiness.ts";
import { Forwarding } from "../grpc/forwarding.ts";
import { StandInMember } from "../grpc/stand-in-member.ts";

const DAY_MS = 24 * 3_600_000;

const WELL: ReadinessSources = {
  channel: { reports: [], endpointInUse: null },
  draining: () => false,
  expiries: () => [],
  health: () => Promise.resolve(healthAnswer("")),
};

/** What the check of that name says. */
async function problem(name: string, sources: Partial<ReadinessSources>): Promise<string> {
  const checks = readinessChecks({ ...WELL, ...sources });
  return await checks.find((check) => check.name === name)!.problem();
}

test("they are these", () => {
  expect(readinessChecks(WELL).map(({ name }) => name)).toEqual([
    "not_draining",
    "member",
    "certificate",
    "linearizable_read",
  ]);
});

test("not_draining tells of a stop", async () => {
  expect(await problem("not_draining", {})).toBe("");
  expect(await problem("not_draining", { draining: () => true })).toBe("the proxy is about to stop");
});

test("member wants one that is connected, and tells why none is", async () => {
  using member = new StandInMember();
  using forwarding = new Forwarding([member]);
  await forwarding.connectedTo(member);
  expect(await problem("member", { channel: forwarding.channel })).toBe("");
  using gone = new StandInMember();
  gone.down();
  using nowhere = new Forwarding([gone]);
  const told = await problem("member", { channel: nowhere.channel });
  expect(told).toStartWith(`no member is connected: ${gone.endpoint.name}: `);
});

describe("certificate", () => {
  const ended = { atMs: Date.now() - DAY_MS };

  test("tells of one that clients are shown and cannot trust any more", async () => {
    const expiries = (): { flag: string; atMs: number }[] => [{ flag: "--cert-file", ...ended }];
    expect(await problem("certificate", { expiries })).toStartWith("--cert-file has ended on 20");
  });

  test("does not care about what ends later, nor about others", async () => {
    const expiries = (): { flag: string; atMs: number }[] => [
      { flag: "--cert-file", atMs: Date.now() + DAY_MS },
      { flag: "--trusted-ca-file", ...ended },
      { flag: "--cert", ...ended },
    ];
    expect(await problem("certificate", { expiries })).toBe("");
  });
});

test("linearizable_read is what /health says", async () => {
  const health = (): Promise<ReturnType<typeof healthAnswer>> => Promise.resolve(healthAnswer("no leader"));
  expect(await problem("linearizable_read", {})).toBe("");
  expect(await problem("linearizable_read", { health })).toBe("no leader");
});
