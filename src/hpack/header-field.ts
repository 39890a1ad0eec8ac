/**
 * One field line of a header section (RFC 9113 §8.1, RFC 7541 §1.3).
 *
 * Name and value are octet strings held as Latin-1 text: one UTF-16 unit for each octet, so any octet
 * survives a round trip. Fields are immutable and shared: the decoder hands out the very objects of its
 * tables, so two equal fields are often the same object.
 */
export interface HeaderField {
  /** Lower-case field name, pseudo-header names with their colon. */
  readonly name: string;
  readonly value: string;
  /** Set when the field must never enter a compression table on any hop (RFC 7541 §6.2.3). */
  readonly neverIndexed: boolean;
}

/** A field that compression tables may keep. */
export function headerField(name: string, value: string): HeaderField {
  return { name, value, neverIndexed: false };
}

/** Size of a field as RFC 7541 §4.1 counts it: both strings in octets plus 32. */
export function headerFieldBytes(field: HeaderField): number {
  return field.name.length + field.value.length + 32;
}
