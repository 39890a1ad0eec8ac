/**
 * SETTINGS (RFC 9113 §6.5): the values one side asks the other to keep to.
 *
 * A connection holds two sets: the local one, which the peer must obey once it has acknowledged it, and
 * the remote one, which we obey from the moment it arrives.
 */
import type { ByteWriter } from "../base/byte-writer.ts";
import { ConnectionError, ErrorCode } from "./error-code.ts";
import { Flag, FrameType, readUint32, writeFrameHeader } from "./frame.ts";

const SettingId = {
  HEADER_TABLE_SIZE: 0x1,
  ENABLE_PUSH: 0x2,
  MAX_CONCURRENT_STREAMS: 0x3,
  INITIAL_WINDOW_SIZE: 0x4,
  MAX_FRAME_SIZE: 0x5,
  MAX_HEADER_LIST_SIZE: 0x6,
} as const;

export const FRAME_BYTES_DEFAULT = 16_384;
const FRAME_BYTES_MAX = 16_777_215;
/**
 * The largest frame that we send, whatever the peer allows: streams take turns frame by frame, and a frame enters
 * the output whole.
 */
const FRAME_BYTES_SENT_MAX = 65_536;
/** The largest flow-control window (RFC 9113 §6.9.1). */
export const WINDOW_BYTES_MAX = 2_147_483_647;
/** Both windows before any SETTINGS or WINDOW_UPDATE (RFC 9113 §6.9.2). */
export const WINDOW_BYTES_DEFAULT = 65_535;
/** How MAX_CONCURRENT_STREAMS reads when there is no limit. */
export const STREAMS_UNLIMITED = 4_294_967_295;

export interface Settings {
  headerTableBytes: number;
  pushEnabled: boolean;
  concurrentStreamsMax: number;
  initialWindowBytes: number;
  frameBytesMax: number;
  headerListBytesMax: number;
}

/** The values in force before a SETTINGS frame says otherwise. */
export function defaultSettings(): Settings {
  return {
    headerTableBytes: 4096,
    pushEnabled: true,
    concurrentStreamsMax: STREAMS_UNLIMITED,
    initialWindowBytes: WINDOW_BYTES_DEFAULT,
    frameBytesMax: FRAME_BYTES_DEFAULT,
    headerListBytesMax: Number.POSITIVE_INFINITY,
  };
}

/** Appends a SETTINGS frame with the values that differ from the defaults. */
export function writeSettings(out: ByteWriter, settings: Settings, role: "client" | "server"): void {
  const defaults = defaultSettings();
  const entries: [id: number, value: number][] = [];
  if (role === "client") entries.push([SettingId.ENABLE_PUSH, 0]);
  if (settings.headerTableBytes !== defaults.headerTableBytes) {
    entries.push([SettingId.HEADER_TABLE_SIZE, settings.headerTableBytes]);
  }
  if (settings.concurrentStreamsMax !== defaults.concurrentStreamsMax && role === "server") {
    entries.push([SettingId.MAX_CONCURRENT_STREAMS, settings.concurrentStreamsMax]);
  }
  if (settings.initialWindowBytes !== defaults.initialWindowBytes) {
    entries.push([SettingId.INITIAL_WINDOW_SIZE, settings.initialWindowBytes]);
  }
  if (settings.frameBytesMax !== defaults.frameBytesMax) {
    entries.push([SettingId.MAX_FRAME_SIZE, settings.frameBytesMax]);
  }
  if (Number.isFinite(settings.headerListBytesMax)) {
    entries.push([SettingId.MAX_HEADER_LIST_SIZE, settings.headerListBytesMax]);
  }
  writeFrameHeader(out, entries.length * 6, FrameType.SETTINGS, 0, 0);
  for (const [id, value] of entries) {
    out.writeByte(id >>> 8);
    out.writeByte(id);
    out.writeUint32(value);
  }
}

/**
 * Applies the payload of a SETTINGS frame to `settings`, entry by entry in order.
 * @throws ConnectionError with the code RFC 9113 §6.5.2 gives for each value out of range.
 */
export function applySettings(
  settings: Settings,
  flags: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  if ((flags & Flag.ACK) !== 0 || (end - start) % 6 !== 0) {
    throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS payload is not a list of settings");
  }
  for (let at = start; at < end; at += 6) {
    const id = (bytes[at]! << 8) | bytes[at + 1]!;
    const value = readUint32(bytes, at + 2);
    switch (id) {
      case SettingId.HEADER_TABLE_SIZE:
        settings.headerTableBytes = value;
        break;
      case SettingId.ENABLE_PUSH:
        if (value > 1) throw outOfRange("ENABLE_PUSH", value, ErrorCode.PROTOCOL_ERROR);
        settings.pushEnabled = value === 1;
        break;
      case SettingId.MAX_CONCURRENT_STREAMS:
        settings.concurrentStreamsMax = value;
        break;
      case SettingId.INITIAL_WINDOW_SIZE:
        if (value > WINDOW_BYTES_MAX) {
          throw outOfRange("INITIAL_WINDOW_SIZE", value, ErrorCode.FLOW_CONTROL_ERROR);
        }
        settings.initialWindowBytes = value;
        break;
      case SettingId.MAX_FRAME_SIZE:
        if (value < FRAME_BYTES_DEFAULT || value > FRAME_BYTES_MAX) {
          throw outOfRange("MAX_FRAME_SIZE", value, ErrorCode.PROTOCOL_ERROR);
        }
        settings.frameBytesMax = Math.min(value, FRAME_BYTES_SENT_MAX);
        break;
      case SettingId.MAX_HEADER_LIST_SIZE:
        settings.headerListBytesMax = value;
        break;
      default: // Unknown settings are ignored (RFC 9113 §6.5.2).
    }
  }
}

function outOfRange(name: string, value: number, code: number): ConnectionError {
  return new ConnectionError(code, `SETTINGS_${name} of ${value} is out of range`);
}
