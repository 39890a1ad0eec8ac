/**
 * Users, roles and tokens of a test's cluster, by the hand of root.
 *
 * While authentication is on, every change of it may end tokens, so root asks for a new one each time.
 */
import { Permission_Type } from "../../../src/gen/authpb/auth_pb.ts";
import { Auth } from "../../../src/gen/etcdserverpb/auth_pb.ts";
import type { GrpcClient } from "../../harness/grpc-client.ts";
import { bytes } from "../methods/side.ts";
import type { WatchedRange } from "./watch-stream.ts";

/** Metadata that says who calls. */
export interface Credentials {
  readonly token: string;
}

/** The password of everybody, unless it was changed. */
export const PASSWORD = "a password";
const { method } = Auth;

export class Accounts {
  readonly #client: GrpcClient;
  #enabled: boolean;

  /**
   * @param client reaches the member whose tokens are used: others may learn of a token later.
   * @param enabled whether authentication is on already.
   */
  constructor(client: GrpcClient, enabled = false) {
    this.#client = client;
    this.#enabled = enabled;
  }

  /** Adds root, with every permission. */
  async addRoot(): Promise<void> {
    await this.addUser("root");
    await this.#client.unary(method.roleAdd, { name: "root" }, await this.#asRoot());
    await this.grantRole("root", "root");
  }

  async enable(): Promise<void> {
    await this.#client.unary(method.authEnable, {});
    this.#enabled = true;
  }

  async disable(): Promise<void> {
    await this.#client.unary(method.authDisable, {}, await this.#asRoot());
    this.#enabled = false;
  }

  async addUser(name: string): Promise<void> {
    await this.#client.unary(method.userAdd, { name, password: PASSWORD }, await this.#asRoot());
  }

  /** Adds a role that may read and write `ranges`. */
  async addRole(name: string, ranges: readonly WatchedRange[]): Promise<void> {
    await this.#client.unary(method.roleAdd, { name }, await this.#asRoot());
    for (const { key, rangeEnd = "" } of ranges) {
      const perm = { permType: Permission_Type.READWRITE, key: bytes(key), rangeEnd: bytes(rangeEnd) };
      await this.#client.unary(method.roleGrantPermission, { name, perm }, await this.#asRoot());
    }
  }

  async grantRole(user: string, role: string): Promise<void> {
    await this.#client.unary(method.userGrantRole, { user, role }, await this.#asRoot());
  }

  async revokeRole(name: string, role: string): Promise<void> {
    await this.#client.unary(method.userRevokeRole, { name, role }, await this.#asRoot());
  }

  async deleteUser(name: string): Promise<void> {
    await this.#client.unary(method.userDelete, { name }, await this.#asRoot());
  }

  /** Gives a user the same password again: all tokens of that user end, on every member. */
  endTokens(name: string): Promise<void> {
    return this.changePassword(name, PASSWORD);
  }

  async changePassword(name: string, password: string): Promise<void> {
    await this.#client.unary(method.userChangePassword, { name, password }, await this.#asRoot());
  }

  /** A new token of a user. */
  async logIn(name: string): Promise<Credentials> {
    const { token } = await this.#client.unary(method.authenticate, { name, password: PASSWORD });
    return { token };
  }

  async #asRoot(): Promise<{ readonly metadata?: Readonly<Record<string, string>> }> {
    return this.#enabled ? { metadata: { ...(await this.logIn("root")) } } : {};
  }
}
