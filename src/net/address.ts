/**
 * A TCP address as operators write it: `host:port`, with IPv6 in brackets, or `:port` for every interface.
 *
 * Stands between the text of a flag and whoever listens or dials. An address that was parsed has a port from 0
 * to 65535 and a host that is empty (every interface), an IP literal without brackets, or a well-formed name.
 */
import { isIP, isIPv4, isIPv6 } from "node:net";

export interface Address {
  /** An IP literal without brackets, a DNS name, or "" for every interface of this machine. */
  readonly hostname: string;
  /** 0 to 65535; 0 asks the operating system for a free port. */
  readonly port: number;
}

/** The text is not an address. The message quotes it and says what to write; callers put the flag before it. */
export class AddressError extends Error {
  override readonly name = "AddressError";
}

/** A bracketed IPv6 literal, or anything without a colon; then an optional colon and what follows it. */
const HOST_AND_PORT = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(.*))?$/;
const NAME_LABEL = /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$/;
const NAME_LENGTH_MAX = 253;
const PORT_MAX = 65_535;

/** Reads `host:port`; `example` is a good address to show in errors. Throws `AddressError`. */
export function parseAddress(text: string, example = "127.0.0.1:23790"): Address {
  const { hostname, port } = parseHostAndPort(text, example);
  if (port === undefined)
    throw new AddressError(`"${text}" has no port: write host:port, such as ${example}`);
  return { hostname, port };
}

/** Like `parseAddress`, but the port may be left out: it is `undefined` then. Throws `AddressError`. */
export function parseHostAndPort(
  text: string,
  example: string,
): { hostname: string; port: number | undefined } {
  if (isIPv6(text)) {
    throw new AddressError(`"${text}" is an IPv6 address without brackets: write [${text}]:port`);
  }
  if (text.includes("@"))
    throw new AddressError(`"${withoutUserInfo(text)}" carries a user name: write only ${example}`);
  if (/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(text))
    throw new AddressError(`"${text}" is a URL: write only host:port, such as ${example}`);
  const match = HOST_AND_PORT.exec(text);
  if (match === null) {
    throw new AddressError(`"${text}" is not an address: write host:port, such as ${example}`);
  }
  const [, bracketed, plain, portText] = match;
  if (bracketed !== undefined && !isIPv6(bracketed)) {
    throw new AddressError(
      `"${text}" has no IPv6 address in its brackets: write [::1]:port, or a name without brackets`,
    );
  }
  const hostname = bracketed ?? plain ?? "";
  if (bracketed === undefined && hostname !== "") checkName(hostname, text, example);
  return { hostname, port: portText === undefined ? undefined : parsePort(portText, text, example) };
}

/** `host:port` as logs print it and `parseAddress` reads it. */
export function formatAddress(address: Address): string {
  return isIPv6(address.hostname)
    ? `[${address.hostname}]:${address.port}`
    : `${address.hostname}:${address.port}`;
}

/** An address or a URL as lines may show it: a password does not belong there, whatever is in it. */
export function withoutUserInfo(text: string): string {
  return text.replace(/^([A-Za-z][A-Za-z0-9+.-]*:\/\/)?.*@/s, "$1…@");
}

/** Whether connecting to it needs no name lookup. */
export function isIpLiteral(hostname: string): boolean {
  return isIP(hostname) !== 0;
}

function parsePort(portText: string, text: string, example: string): number {
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : PORT_MAX + 1;
  if (port > PORT_MAX) {
    throw new AddressError(
      `"${text}" has a bad port "${portText}": write a number from 0 to ${PORT_MAX}, such as ${example}`,
    );
  }
  return port;
}

function checkName(hostname: string, text: string, example: string): void {
  if (isIPv4(hostname)) return;
  if (/^[\d.]+$/.test(hostname)) {
    throw new AddressError(
      `"${text}" has a bad IPv4 address "${hostname}": write four numbers, as in ${example}`,
    );
  }
  const labels = hostname.replace(/\.$/, "").split(".");
  if (hostname.length > NAME_LENGTH_MAX || !labels.every((label) => NAME_LABEL.test(label))) {
    throw new AddressError(
      `"${text}" has a bad host name "${hostname}": write a DNS name or an IP address, such as ${example}`,
    );
  }
}
