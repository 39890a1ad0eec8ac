/** The metadata that says who a caller is: what a call made on somebody's behalf has to carry along. */
const CREDENTIAL_FIELDS = ["token", "authorization"];

/** The credentials among `headers`, and nothing else. */
export function copyCredentials(headers: Headers): Headers {
  const credentials = new Headers();
  for (const name of CREDENTIAL_FIELDS) {
    const value = headers.get(name);
    if (value !== null) credentials.set(name, value);
  }
  return credentials;
}
