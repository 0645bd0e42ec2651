#!/usr/bin/env node
/** The executable. */
import { cli } from "./cli.js";

// `dit-compile … | head` closes the pipe: that is the reader's choice and no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
process.exitCode = await cli(process.argv.slice(2));
