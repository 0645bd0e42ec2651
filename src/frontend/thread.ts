/**
 * TypeScript in a thread of its own: to load it and to check a model take longer than most of the compiler, which works meanwhile. The
 * thread ends when nothing has been asked for a while, and its memory is free.
 */
import { fileURLToPath } from "node:url";
import { Piscina } from "piscina";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { Question, Reading } from "./typescript.js";

interface Answers {
  readonly read: Reading;
  readonly check: readonly Diagnostic[];
}

/** Milliseconds: those who compile one model after another find it awake. */
const PATIENCE = 5000;

/** Node's threads run no TypeScript: run from source, as tests do, it is all one thread. */
const built = import.meta.url.endsWith(".js");

let pool: Piscina<Question | undefined> | undefined;

/** One thread answers in the order of the questions. */
export async function ask<Name extends keyof Answers>(name: Name, question: Question): Promise<Answers[Name]> {
  if (!built) return (await import("./typescript.js"))[name](question) as Answers[Name];
  return thread().run(question, { name });
}

/** Starts the thread, for those who are going to ask and have something else to do first. What fails then fails again when they ask. */
export function wake(): void {
  if (built)
    thread()
      .run(undefined, { name: "ready" })
      .catch(() => undefined);
}

function thread(): Piscina<Question | undefined> {
  pool ??= new Piscina({
    filename: fileURLToPath(new URL("./typescript.js", import.meta.url)),
    ...{ minThreads: 0, maxThreads: 1, idleTimeout: PATIENCE },
  });
  return pool;
}
