/**
 * DER (ITU-T X.690 §8, §10) as far as revocation lists and names in certificates need it: elements one after another.
 *
 * An own reader, since @peculiar/x509 takes half a millisecond for each revoked certificate and refuses a list of ten
 * thousand of them. It copies nothing and recurses nowhere.
 */

/** The bytes are not DER, or end too early. */
export class DerError extends Error {
  override readonly name = "DerError";
}

export const DerTag = {
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OBJECT_IDENTIFIER: 0x06,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  /** `[0] EXPLICIT`. */
  CONTEXT_0: 0xa0,
} as const;

/** One element: tag, length and content. */
export interface DerElement {
  readonly tag: number;
  /** With its tag and length. */
  readonly encoded: Buffer;
  readonly content: Buffer;
}

/** The elements in some bytes, in their order. */
export class DerReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** A reader of the same bytes, from their start. */
  copy(): DerReader {
    return new DerReader(this.#bytes);
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The tag of the next element; -1 at the end. */
  get nextTag(): number {
    return this.#bytes[this.#at] ?? -1;
  }

  /** @throws DerError unless the next element has this tag */
  next(tag: number): DerElement {
    const element = this.any();
    if (element.tag !== tag) throw new DerError(`tag ${element.tag} where ${tag} is expected`);
    return element;
  }

  /** The inside of the next element, which is a SEQUENCE. @throws DerError */
  sequence(): DerReader {
    return new DerReader(this.next(DerTag.SEQUENCE).content);
  }

  /** The next element, if it has this tag. @throws DerError */
  optional(...tags: number[]): DerElement | undefined {
    return tags.includes(this.nextTag) ? this.any() : undefined;
  }

  /** @throws DerError at the end, too */
  any(): DerElement {
    const bytes = this.#bytes;
    const start = this.#at;
    const tag = bytes[start];
    const first = bytes[start + 1];
    if (tag === undefined || first === undefined) throw new DerError("cut short");
    if ((tag & 0x1f) === 0x1f) throw new DerError("a tag of several bytes");
    let contentAt = start + 2;
    let length = first;
    if (first >= 0x80) {
      const lengthBytes = first & 0x7f;
      if (lengthBytes === 0 || lengthBytes > 4) throw new DerError("a length that is none");
      if (contentAt + lengthBytes > bytes.length) throw new DerError("cut short");
      length = bytes.readUIntBE(contentAt, lengthBytes);
      contentAt += lengthBytes;
    }
    const end = contentAt + length;
    if (end > bytes.length) throw new DerError("cut short");
    this.#at = end;
    return { tag, encoded: bytes.subarray(start, end), content: bytes.subarray(contentAt, end) };
  }
}

/** A UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 has them, in milliseconds since 1970. @throws DerError */
export function derTimeMs({ tag, content }: DerElement): number {
  const digits = content.toString("latin1");
  const twoDigitYear = Number(digits.slice(0, 2));
  const century = twoDigitYear < 50 ? "20" : "19";
  const whole = tag === DerTag.UTC_TIME ? century + digits : digits;
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(whole);
  if (match === null) throw new DerError("a time that is none");
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

/** An OBJECT IDENTIFIER in its usual form, `1.2.840.113549`. */
export function derObjectIdentifier({ content }: DerElement): string {
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of content) {
    arc = arc * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    if (arcs.length === 0) {
      const root = Math.min(Math.floor(arc / 40), 2);
      arcs.push(root, arc - root * 40);
    } else arcs.push(arc);
    arc = 0;
  }
  return arcs.join(".");
}
