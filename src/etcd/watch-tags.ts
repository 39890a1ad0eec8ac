/**
 * Tags of a WatchResponse's fields and of its header's revision (etcd API, Watch): the field's number times eight,
 * and 0 for a varint, 2 for what has a length. All are one byte.
 */
export const RESPONSE_HEADER = 0x0a;
export const RESPONSE_WATCH_ID = 0x10;
export const RESPONSE_CREATED = 0x18;
export const RESPONSE_CANCELED = 0x20;
export const RESPONSE_COMPACT_REVISION = 0x28;
export const RESPONSE_CANCEL_REASON = 0x32;
export const RESPONSE_FRAGMENT = 0x38;
export const RESPONSE_EVENTS = 0x5a;
export const HEADER_REVISION = 0x18;
