/** How the model refuses a watch to a caller: in etcd's words, as `cancel_reason`. */
export const PERMISSION_DENIED = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
export const INVALID_AUTH_TOKEN = "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token";
export const USER_EMPTY = "rpc error: code = InvalidArgument desc = etcdserver: user name is empty";
