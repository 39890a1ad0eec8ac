/**
 * Files that are read anew when they change: certificates, keys, CAs and revocation lists.
 *
 * Stands between the files and what was loaded from them. Files are looked at every two seconds, which also notices
 * those replaced by renaming or behind a symbolic link; a change is taken once it has been the same for a look, so that a
 * certificate whose key is written a moment later comes with that. What cannot be used is reported once, what was in use
 * stays, and the next change is tried again.
 */
import type { Logger } from "../observe/log.ts";
import { filesState, type TlsFile, TlsFileError } from "./tls-file.ts";

/** What was loaded from some files together. */
export interface Renewable {
  readonly files: readonly TlsFile[];
  /** `filesState` of the files from before they were read for what is in use. */
  readonly readState: string;
  /** Reads the files and takes over what they hold; on an error everything stays. @throws TlsFileError */
  load(): Promise<void>;
  /** Renews the files themselves where that is this program's own work. */
  maintain?(): Promise<void>;
}

const LOOK_MS = 2000;

interface Watched {
  readonly renewable: Renewable;
  /** The state of the files that were tried last, good or bad. */
  tried: string;
  /** Their state at the last look. */
  seen: string;
}

export class RenewalWatch {
  readonly #log: Logger;
  readonly #watched: readonly Watched[];
  readonly #timer: ReturnType<typeof setInterval>;
  #working: Promise<void> = Promise.resolve();

  /** `renewables` are loaded already. */
  constructor(renewables: readonly Renewable[], log: Logger, lookMs = LOOK_MS) {
    this.#log = log;
    this.#watched = renewables.map((renewable) => {
      // What has changed since it was read, while the rest of the program started, is a change.
      return { renewable, tried: renewable.readState, seen: filesState(renewable.files) };
    });
    this.#timer = setInterval(() => void this.look(), lookMs);
    this.#timer.unref();
  }

  /** Takes what has changed and been the same since the last look. */
  look(): Promise<void> {
    return this.#inTurn(async (watched) => {
      await watched.renewable.maintain?.();
      const state = filesState(watched.renewable.files);
      const settled = state === watched.seen;
      watched.seen = state;
      if (settled && state !== watched.tried) await this.#load(watched, state);
    });
  }

  /** Reads everything now, whether it has changed or not. False: there is nothing. */
  async reload(): Promise<boolean> {
    await this.#inTurn(async (watched) => {
      const state = filesState(watched.renewable.files);
      watched.seen = state;
      await this.#load(watched, state);
    });
    return this.#watched.length > 0;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Looks and reloads follow one another. */
  #inTurn(work: (watched: Watched) => Promise<void>): Promise<void> {
    this.#working = this.#after(this.#working, work);
    return this.#working;
  }

  async #after(earlier: Promise<void>, work: (watched: Watched) => Promise<void>): Promise<void> {
    await earlier;
    for (const watched of this.#watched) await this.#guarded(watched, work);
  }

  async #guarded(watched: Watched, work: (watched: Watched) => Promise<void>): Promise<void> {
    try {
      await work(watched);
    } catch (error) {
      this.#log.error("TLS files cannot be used, what was loaded before stays in use", {
        error: error instanceof TlsFileError ? error.message : error,
      });
    }
  }

  async #load(watched: Watched, state: string): Promise<void> {
    watched.tried = state;
    await watched.renewable.load();
    this.#log.info("read TLS files anew", {
      files: watched.renewable.files.map(({ flag, path }) => `${flag} ${path}`),
    });
  }
}
