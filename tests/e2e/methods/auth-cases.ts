/**
 * Auth's methods: users and roles while auth is off, then a round with it on, as an administrator, as a user with
 * few permissions, and as somebody without a name.
 */
import { Permission_Type } from "../../../src/gen/authpb/auth_pb.ts";
import { Auth } from "../../../src/gen/etcdserverpb/auth_pb.ts";
import { Cluster } from "../../../src/gen/etcdserverpb/cluster_pb.ts";
import { KV } from "../../../src/gen/etcdserverpb/kv_pb.ts";
import { Lease } from "../../../src/gen/etcdserverpb/lease_pb.ts";
import { Maintenance } from "../../../src/gen/etcdserverpb/maintenance_pb.ts";
import { Watch } from "../../../src/gen/etcdserverpb/watch_pb.ts";
import { bytes, type MethodCase, type Side } from "./side.ts";

const auth = Auth.method;
const READ = { permType: Permission_Type.READ, key: bytes("auth/"), rangeEnd: bytes("auth0") };

/** `root` with the role that auth wants before it can be enabled, and a reader of some keys. */
async function peopleAdded(side: Side): Promise<void> {
  const { backstage } = side;
  await backstage.unary(auth.userAdd, { name: "root", password: "secret" });
  await backstage.unary(auth.roleAdd, { name: "root" });
  await backstage.unary(auth.userGrantRole, { user: "root", role: "root" });
  await backstage.unary(auth.userAdd, { name: "reader", password: "read" });
  await backstage.unary(auth.roleAdd, { name: "reading" });
  await backstage.unary(auth.roleGrantPermission, { name: "reading", perm: READ });
  await backstage.unary(auth.userGrantRole, { user: "reader", role: "reading" });
}

async function peopleRemoved(side: Side): Promise<void> {
  for (const name of ["root", "reader"]) await side.backstage.unary(auth.userDelete, { name });
  for (const role of ["root", "reading"]) await side.backstage.unary(auth.roleDelete, { role });
}

/** What somebody with `token`, or without any, is answered. */
async function tries(side: Side, token: string | undefined): Promise<void> {
  const options = token === undefined ? {} : { metadata: { token } };
  await side.unary(KV.method.range, { key: bytes("auth/key") }, options);
  await side.unary(KV.method.range, { key: bytes("auth/key"), serializable: true }, options);
  await side.unary(KV.method.range, { key: bytes("other") }, options);
  await side.unary(KV.method.put, { key: bytes("auth/key") }, options);
  await side.unary(KV.method.deleteRange, { key: bytes("auth/key") }, options);
  await side.unary(KV.method.txn, {}, options);
  await side.unary(Lease.method.leaseLeases, {}, options);
  await side.unary(auth.userList, {}, options);
  await side.unary(auth.userGet, { name: "reader" }, options);
  await side.unary(auth.roleAdd, { name: "mine" }, options);
  await side.unary(Maintenance.method.defragment, {}, options);
  await side.unary(Cluster.method.memberRemove, { ID: 404n }, options);
  const watch = side.bidirectional(Watch.method.watch, options);
  watch.send({ requestUnion: { case: "createRequest", value: { key: bytes("other") } } });
  await watch.heard();
  watch.cancel();
}

export const authCases: readonly MethodCase[] = [
  {
    name: "users are added, listed, shown, given passwords and roles, and deleted",
    covers: [
      auth.userAdd,
      auth.userList,
      auth.userGet,
      auth.userChangePassword,
      auth.userGrantRole,
      auth.userRevokeRole,
      auth.userDelete,
      auth.roleAdd,
      auth.roleDelete,
    ],
    async run(side) {
      await side.unary(auth.userAdd, { name: "user", password: "one" });
      await side.unary(auth.userAdd, { name: "user", password: "two" });
      await side.unary(auth.userAdd, { name: "", password: "nameless" });
      await side.unary(auth.userAdd, { name: "certificate", options: { noPassword: true } });
      await side.unary(auth.roleAdd, { name: "role" });
      await side.unary(auth.roleAdd, { name: "role" });
      await side.unary(auth.userGrantRole, { user: "user", role: "role" });
      await side.unary(auth.userGrantRole, { user: "user", role: "none" });
      await side.unary(auth.userGrantRole, { user: "nobody", role: "role" });
      await side.unary(auth.userList, {});
      await side.unary(auth.userGet, { name: "user" });
      await side.unary(auth.userGet, { name: "nobody" });
      await side.unary(auth.userChangePassword, { name: "user", password: "three" });
      await side.unary(auth.userChangePassword, { name: "nobody", password: "three" });
      await side.unary(auth.userRevokeRole, { name: "user", role: "role" });
      await side.unary(auth.userRevokeRole, { name: "user", role: "role" });
      await side.unary(auth.roleDelete, { role: "role" });
      await side.unary(auth.roleDelete, { role: "role" });
      for (const name of ["user", "certificate", "nobody"]) await side.unary(auth.userDelete, { name });
    },
  },
  {
    name: "roles are listed, shown, and given permissions that can be taken away",
    covers: [auth.roleList, auth.roleGet, auth.roleGrantPermission, auth.roleRevokePermission],
    async run(side) {
      await side.backstage.unary(auth.roleAdd, { name: "role" });
      await side.unary(auth.roleList, {});
      await side.unary(auth.roleGrantPermission, { name: "role", perm: READ });
      await side.unary(auth.roleGrantPermission, { name: "none", perm: READ });
      await side.unary(auth.roleGet, { role: "role" });
      await side.unary(auth.roleGet, { role: "none" });
      const { key, rangeEnd } = READ;
      await side.unary(auth.roleRevokePermission, { role: "role", key, rangeEnd });
      await side.unary(auth.roleRevokePermission, { role: "role", key, rangeEnd });
      await side.backstage.unary(auth.roleDelete, { role: "role" });
    },
  },
  {
    name: "auth that is off cannot authenticate, and cannot be enabled without root",
    covers: [auth.authEnable, auth.authDisable, auth.authStatus, auth.authenticate],
    async run(side) {
      await side.unary(auth.authStatus, {});
      await side.unary(auth.authenticate, { name: "root", password: "secret" });
      await side.unary(auth.authEnable, {});
      await side.unary(auth.authDisable, {});
    },
  },
  {
    name: "auth that is on gives tokens, and answers each caller by its own",
    covers: [auth.authEnable, auth.authenticate, auth.authStatus, auth.authDisable],
    async run(side) {
      await peopleAdded(side);
      await side.unary(auth.authEnable, {});
      const root = await side.unary(auth.authenticate, { name: "root", password: "secret" });
      const reader = await side.unary(auth.authenticate, { name: "reader", password: "read" });
      await side.unary(auth.authenticate, { name: "reader", password: "wrong" });
      await side.unary(auth.authenticate, { name: "nobody", password: "" });
      await tries(side, root!.token);
      await tries(side, reader!.token);
      await tries(side, undefined);
      await tries(side, "no token of etcd's");
      const metadata = { token: root!.token };
      await side.unary(auth.authStatus, {}, { metadata });
      await side.unary(auth.roleDelete, { role: "mine" }, { metadata });
      await side.unary(auth.authDisable, {}, { metadata: { token: reader!.token } });
      await side.unary(auth.authDisable, {}, { metadata });
      await peopleRemoved(side);
    },
  },
];
