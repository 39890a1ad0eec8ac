/** The metadata of calls that the proxy makes in a client's name. */
import { type HeaderField, headerField } from "../../hpack/header-field.ts";

const HAS_LEADER = headerField("hasleader", "true");

/** In the name of `token` ("": nobody); with `requiresLeader` the call ends when its member knows no leader. */
export function ownMetadata(token: string, requiresLeader: boolean): HeaderField[] {
  const fields: HeaderField[] = [];
  if (token !== "") fields.push(headerField("token", token));
  if (requiresLeader) fields.push(HAS_LEADER);
  return fields;
}
