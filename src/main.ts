/**
 * The entry point of the executable: hands the command line to the program and ends with its exit status.
 */
import { run } from "./cli/run.ts";

// The exit is explicit: sockets that are still closing must not keep a stopped proxy alive.
process.exit(await run(process.argv.slice(2)));
