/**
 * The flags `--user` and `--password-file`: who the proxy is at etcd.
 * Stands between their text and the product; looks at the file once, so that a mistake is told before clients come.
 *
 * Invariant: no line holds the password.
 */
import type { Logger } from "../observe/log.ts";
import { isReadableByOthers, PasswordFileError, readPassword } from "../proxy/auth/password-file.ts";
import type { OwnUser } from "../proxy/auth/sign-in.ts";
import { quoted, usageError } from "./command-line-error.ts";

/**
 * Who the proxy is; null when neither flag is given. A password file that everybody may read is warned of.
 * Throws `CommandLineError`.
 */
export async function ownUserFlags(user: string, passwordFile: string, log: Logger): Promise<OwnUser | null> {
  if (user === "" && passwordFile === "") return null;
  if (passwordFile === "") {
    // Not quoted: whoever is used to etcdctl may have written the password behind a colon.
    throw usageError("--user needs --password-file: name a file that holds the user's password");
  }
  if (user === "") {
    throw usageError(`--password-file ${quoted(passwordFile)} needs --user: name the user that it is for`);
  }
  if (user.includes(":")) {
    throw usageError("--user takes the name alone, without a colon: the password stands in --password-file");
  }
  try {
    readPassword(passwordFile);
  } catch (error) {
    if (!(error instanceof PasswordFileError)) throw error;
    throw usageError(`--password-file ${quoted(passwordFile)} ${error.message}`);
  }
  if (await isReadableByOthers(passwordFile)) {
    log.warn("everybody on this machine can read --password-file: take that right away, as with chmod 600", {
      file: passwordFile,
    });
  }
  return { name: user, passwordFile };
}
