// DER, written: for lists that no generator of a library makes.

/** An element with this tag around the contents, one behind the other. */
export function encodeDer(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const lengthBytes = Buffer.from(length.toString(16).padStart(length > 0xffff ? 8 : 4, "0"), "hex");
  return Buffer.concat([Buffer.from([tag, 0x80 | lengthBytes.length]), lengthBytes, content]);
}
