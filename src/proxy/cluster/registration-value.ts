/**
 * A registration as Go's endpoints manager writes and reads it: the key under the resolver prefix, and a value in JSON.
 *
 * Stands between registrations and their bytes. What is written equals what etcd's own proxy writes, byte by byte; what is
 * read may come from any client of that format.
 */

/** A proxy that is registered. */
export interface RegisteredProxy {
  /** Of its machine. */
  readonly name: string;
  /** As it was written, with or without a scheme. */
  readonly clientUrl: string;
}

/** The key of the proxy that clients reach at `clientUrl`. */
export function registrationKey(prefix: string, clientUrl: string): string {
  return `${prefix}/${clientUrl}`;
}

/** The value behind it, in JSON. */
export function registrationValue({ name, clientUrl }: RegisteredProxy): string {
  return goJson({ Op: 0, Addr: clientUrl, Metadata: goJson({ name }) });
}

/** What Go's encoder escapes and ours does not: the signs of HTML, and two separators of lines. */
const ESCAPED_BY_GO = /[<>&\u2028\u2029]/g;

function goJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    ESCAPED_BY_GO,
    (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Null when `value` registers nobody: no JSON object, or none with an address. */
export function readRegistration(value: Uint8Array): RegisteredProxy | null {
  const registration = objectIn(new TextDecoder().decode(value));
  const address = registration?.["Addr"];
  if (typeof address !== "string" || address === "") return null;
  const clientUrl = address.toWellFormed();
  // Clients take a member without a name for one that has not started, and leave it out.
  return { name: nameIn(registration?.["Metadata"]) || clientUrl, clientUrl };
}

/** `Metadata` is JSON in a string, as proxies write it, or an object; services that register there may have none. */
function nameIn(metadata: unknown): string {
  const described = typeof metadata === "string" ? objectIn(metadata) : asObject(metadata);
  const name = described?.["name"];
  return typeof name === "string" ? name.toWellFormed() : "";
}

function objectIn(json: string): Readonly<Record<string, unknown>> | null {
  try {
    return asObject(JSON.parse(json) as unknown);
  } catch {
    return null;
  }
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
}
