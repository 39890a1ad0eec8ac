/**
 * Octets as Latin-1 text: one UTF-16 unit for each octet, so that any octet survives a round trip.
 *
 * Measured on Bun 1.4.5 for 8 and 60 octets: the native slice 20 and 23 ns, concatenated characters 60
 * and 370 ns once the text is used. The text owns its storage: it does not keep the bytes alive.
 */

type Latin1Slice = (this: Uint8Array, start: number, end: number) => string;

// The body of Buffer's toString("latin1"), without parsing the encoding's name; it accepts any Uint8Array.
const latin1Slice = (Buffer.prototype as unknown as { readonly latin1Slice: Latin1Slice }).latin1Slice;

/** The octets `bytes[start, end)` as text. */
export function latin1Text(bytes: Uint8Array, start: number, end: number): string {
  return start === end ? "" : latin1Slice.call(bytes, start, end);
}

const QUESTION_MARK = 0x3f;

/**
 * The octet for the UTF-16 unit `text[at]`. A unit outside Latin-1 becomes a question mark: cut down to
 * its low byte it could turn into any octet, CR, LF and NUL included.
 */
export function latin1Octet(text: string, at: number): number {
  const unit = text.charCodeAt(at);
  return unit <= 0xff ? unit : QUESTION_MARK;
}
