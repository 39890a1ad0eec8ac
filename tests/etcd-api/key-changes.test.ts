import { expect, test } from "bun:test";
import { file_google_protobuf_empty } from "@bufbuild/protobuf/wkt";
import type { DescMethod } from "@bufbuild/protobuf";
import { type KeyEffect, keyEffectOf } from "../../src/etcd/key-changes.ts";
import { SERVICES } from "../../src/etcd/services.ts";

/** Every method that may do something to keys, or to who may read them. */
const EFFECTS: Readonly<Record<string, KeyEffect>> = {
  "KV/Put": "put",
  "KV/DeleteRange": "delete range",
  "KV/Txn": "txn",
  "KV/Compact": "compact",
  "Watch/Watch": "shown",
  "Election/Observe": "shown",
  "Lease/LeaseRevoke": "anything",
  "Lock/Lock": "anything",
  "Lock/Unlock": "anything",
  "Election/Campaign": "anything",
  "Election/Proclaim": "anything",
  "Election/Resign": "anything",
  "Auth/AuthEnable": "anything",
  "Auth/AuthDisable": "anything",
  "Auth/UserAdd": "anything",
  "Auth/UserDelete": "anything",
  "Auth/UserChangePassword": "anything",
  "Auth/UserGrantRole": "anything",
  "Auth/UserRevokeRole": "anything",
  "Auth/RoleAdd": "anything",
  "Auth/RoleDelete": "anything",
  "Auth/RoleGrantPermission": "anything",
  "Auth/RoleRevokePermission": "anything",
};

test("every other method of etcd leaves keys alone", () => {
  const effects = SERVICES.flatMap((service) =>
    service.methods.map((method) => [`${service.name}/${method.name}`, keyEffectOf(method)] as const),
  );
  expect(Object.fromEntries(effects.filter(([, effect]) => effect !== "none"))).toEqual(EFFECTS);
  expect(effects.filter(([, effect]) => effect === "none").length).toBeGreaterThan(20);
});

test("a method that nobody knows yet may change anything", () => {
  const [first] = SERVICES;
  const [message] = file_google_protobuf_empty.messages;
  const future: DescMethod = { ...first!.methods[0]!, name: "Future", input: message!, output: message! };
  expect(keyEffectOf(future)).toBe("anything");
});
