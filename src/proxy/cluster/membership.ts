/**
 * What a proxy has to do with others of its cluster under `--resolver-prefix`: it is registered among them, and knows them.
 *
 * Stands between the proxy's start and stop and the parts that do it. Of several workers one keeps the registration; all of them
 * know who is registered.
 */
import type { Timers } from "../../base/clock.ts";
import type { Logger } from "../../observe/log.ts";
import type { LeaseSlot } from "./lease-slot.ts";
import { RegisteredProxies } from "./registered-proxies.ts";
import { Registration } from "./registration.ts";
import type { RegistrationCalls } from "./registration-calls.ts";
import type { RegisteredProxy } from "./registration-value.ts";

/** What the flags say. */
export interface MembershipFlags {
  /** `--resolver-prefix`. */
  readonly prefix: string;
  /** `--resolver-ttl`. */
  readonly ttlSeconds: number;
}

export interface MembershipOptions extends MembershipFlags {
  readonly calls: RegistrationCalls;
  readonly self: RegisteredProxy;
  /** This worker keeps the registration. */
  readonly registers: boolean;
  readonly lease: LeaseSlot;
  readonly clock: Timers;
  readonly log: Logger;
}

/** What is told of it as metrics. */
export interface MembershipStats {
  readonly registered: boolean;
  readonly renewals: number;
  readonly proxies: number;
}

export class Membership {
  readonly #calls: RegistrationCalls;
  readonly #registers: boolean;
  readonly #registration: Registration;
  readonly #proxies: RegisteredProxies;

  constructor({ calls, prefix, ttlSeconds, self, registers, lease, clock, log }: MembershipOptions) {
    this.#calls = calls;
    this.#registers = registers;
    this.#registration = new Registration({ calls, prefix, ttlSeconds, proxy: self, lease, clock, log });
    this.#proxies = new RegisteredProxies({
      calls,
      prefix,
      ownKey: this.#registration.key,
      onOwnKey: (state) => this.#registration.onOwnKey(state),
      onWentBack: () => this.#registration.onWentBack(),
      clock,
      log,
    });
  }

  /** Who is registered, in the order of their keys. */
  get proxies(): readonly RegisteredProxy[] {
    return this.#proxies.list;
  }

  get stats(): MembershipStats {
    const { registered, renewals } = this.#registration;
    return { registered, renewals, proxies: this.proxies.length };
  }

  start(): void {
    this.#proxies.start();
    if (this.#registers) this.#registration.start();
  }

  /** The channel has turned to another connection. */
  onConnected(): void {
    this.#calls.onConnected();
  }

  /** Takes the process's registration back, whichever worker keeps it. Resolves after a second at the most. */
  unregister(): Promise<void> {
    return this.#registration.leave();
  }

  /** Takes back what this worker keeps, before its clients are told to go. Resolves after a second at the most. */
  async leave(): Promise<void> {
    if (this.#registers) await this.unregister();
  }

  close(): void {
    this.#proxies.close();
  }
}
