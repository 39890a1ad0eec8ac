import { expect, test } from "bun:test";
import { HpackDecoder } from "../../../src/hpack/decoder.ts";
import { indexedHeaders } from "./indexed-headers.ts";

const LIST_BYTES_MAX = 65_536;

test("each path's calls have the same fields, the later ones in six bytes", () => {
  const paths = ["/a/Range", "/a/Put", "/b/Grant"];
  const { openings, repeats } = indexedHeaders(paths, "127.0.0.1:1");
  const decoder = new HpackDecoder();
  const fields = [...openings, ...repeats, ...repeats].map((block) =>
    decoder
      .decode(block, 0, block.length, LIST_BYTES_MAX)
      .map(({ name, value }) => `${name} ${value}`)
      .join(", "),
  );
  const expected = paths.map(
    (path) =>
      `:method POST, :scheme http, :path ${path}, :authority 127.0.0.1:1, content-type application/grpc, te trailers`,
  );
  expect(fields).toEqual([...expected, ...expected, ...expected]);
  expect(repeats.map(({ length }) => length)).toEqual([6, 6, 6]);
});
