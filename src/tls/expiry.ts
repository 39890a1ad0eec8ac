/** When something that a TLS flag names ends, or should be replaced. */
export interface Expiry {
  /** With its dashes: `--cert-file`. */
  readonly flag: string;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}
