import { describe, expect, test } from "bun:test";
import {
  Code,
  codeName,
  decodeMessage,
  encodeMessage,
  readStatus,
  statusOfHttp,
  statusOfReset,
  statusTrailers,
  trailersOnly,
} from "../../src/grpc/status.ts";
import { headerField } from "../../src/hpack/header-field.ts";
import { ErrorCode } from "../../src/http2/error-code.ts";

describe("grpc-message", () => {
  const pairs: readonly (readonly [message: string, encoded: string])[] = [
    ["", ""],
    ["etcdserver: key is not provided", "etcdserver: key is not provided"],
    ["100%", "100%25"],
    ["two\nlines\r\n", "two%0Alines%0D%0A"],
    ["käse", "k%C3%A4se"],
    ["☺", "%E2%98%BA"],
    ["~ \x7f", "~ %7F"],
  ];
  test.each(pairs)("%j is sent as %j and read back", (message, encoded) => {
    expect(encodeMessage(message)).toBe(encoded);
    expect(decodeMessage(encoded)).toBe(message);
  });

  test.each(["%", "50% off", "%zz", "a%4"])("%j is no encoding and stays as it is", (text) => {
    expect(decodeMessage(text)).toBe(text);
  });

  test("that is no UTF-8 is read with replacement characters", () => {
    expect(decodeMessage("%FF%FE")).toBe("\ufffd\ufffd");
  });
});

describe("a status section", () => {
  test("is read back as it was written", () => {
    const status = { code: Code.UNAVAILABLE, message: "etcdserver: no leader" };
    expect(readStatus(statusTrailers(status))).toEqual(status);
    expect(readStatus(trailersOnly(status))).toEqual(status);
  });

  test("of OK has no message field", () => {
    expect(statusTrailers({ code: Code.OK, message: "" })).toEqual([headerField("grpc-status", "0")]);
  });

  test("without grpc-status is none", () => {
    expect(readStatus([headerField("grpc-message", "lost")])).toBeUndefined();
  });

  test.each(["", "-1", "abc", "1e3", "0x1"])("with grpc-status %j is UNKNOWN", (value) => {
    expect(readStatus([headerField("grpc-status", value)])?.code).toBe(Code.UNKNOWN);
  });

  test("with a code of the future is read as it is", () => {
    expect(readStatus([headerField("grpc-status", "17")])?.code).toBe(17);
  });
});

describe("what is no gRPC answer", () => {
  test.each([
    [400, Code.INTERNAL],
    [401, Code.UNAUTHENTICATED],
    [403, Code.PERMISSION_DENIED],
    [404, Code.UNIMPLEMENTED],
    [429, Code.UNAVAILABLE],
    [431, Code.INTERNAL],
    [502, Code.UNAVAILABLE],
    [503, Code.UNAVAILABLE],
    [504, Code.UNAVAILABLE],
    [200, Code.UNKNOWN],
    [500, Code.UNKNOWN],
  ])("but HTTP status %i has code %i", (httpStatus, code) => {
    expect(statusOfHttp(httpStatus, undefined).code).toBe(code);
  });

  test("is told with its HTTP status and content type", () => {
    expect(statusOfHttp(200, "text/html").message).toBe(
      "no gRPC answer but HTTP status 200 with content-type text/html",
    );
  });

  test.each([
    [ErrorCode.NO_ERROR, Code.INTERNAL],
    [ErrorCode.PROTOCOL_ERROR, Code.INTERNAL],
    [ErrorCode.REFUSED_STREAM, Code.UNAVAILABLE],
    [ErrorCode.CANCEL, Code.CANCELLED],
    [ErrorCode.ENHANCE_YOUR_CALM, Code.RESOURCE_EXHAUSTED],
    [ErrorCode.INADEQUATE_SECURITY, Code.PERMISSION_DENIED],
  ])("but RST_STREAM with error %i has code %i", (errorCode, code) => {
    expect(statusOfReset(errorCode, "why")).toEqual({ code, message: "why" });
  });
});

describe("a code's name", () => {
  test.each([
    [Code.OK, "OK"],
    [Code.CANCELLED, "Canceled"],
    [Code.UNKNOWN, "Unknown"],
    [Code.INVALID_ARGUMENT, "InvalidArgument"],
    [Code.DEADLINE_EXCEEDED, "DeadlineExceeded"],
    [Code.NOT_FOUND, "NotFound"],
    [Code.ALREADY_EXISTS, "AlreadyExists"],
    [Code.PERMISSION_DENIED, "PermissionDenied"],
    [Code.RESOURCE_EXHAUSTED, "ResourceExhausted"],
    [Code.FAILED_PRECONDITION, "FailedPrecondition"],
    [Code.ABORTED, "Aborted"],
    [Code.OUT_OF_RANGE, "OutOfRange"],
    [Code.UNIMPLEMENTED, "Unimplemented"],
    [Code.INTERNAL, "Internal"],
    [Code.UNAVAILABLE, "Unavailable"],
    [Code.DATA_LOSS, "DataLoss"],
    [Code.UNAUTHENTICATED, "Unauthenticated"],
  ])("of %i is Go's, %s", (code, name) => {
    expect(codeName(code)).toBe(name);
  });

  test.each([-1, 17, 999])("of %i, which is none, is Unknown", (code) => {
    expect(codeName(code)).toBe("Unknown");
  });
});
