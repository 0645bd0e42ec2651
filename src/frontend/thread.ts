/**
 * TypeScript in a thread of its own: to load it and to check a model take longer than most of the compiler, which works meanwhile. The
 * thread answers one question after another, in the order in which they are asked, and ends when nothing has been asked for a while.
 */
import { Worker } from "node:worker_threads";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { Question, Reading } from "./typescript.js";

interface Answers {
  readonly read: Reading;
  readonly check: readonly Diagnostic[];
}

export interface Asked {
  readonly name: keyof Answers;
  readonly question: Question;
}

/** What the thread (answers.ts) sends for each question. */
export type Answer = { readonly value: Answers[keyof Answers] } | { readonly error: unknown };

/** Milliseconds: those who compile one model after another find it awake. */
const PATIENCE = 5000;

/** Node's threads run no TypeScript: run from source, as tests do, it is all one thread. */
export const built = import.meta.url.endsWith(".js");

let thread: Thread | undefined;

export async function ask<Name extends keyof Answers>(name: Name, question: Question): Promise<Answers[Name]> {
  if (!built) return (await import("./typescript.js"))[name](question) as Answers[Name];
  thread ??= new Thread();
  return (await thread.ask({ name, question })) as Answers[Name];
}

/** Starts the thread, for those who are going to ask and have something else to do first. What fails then fails again when they ask. */
export function wake(): void {
  if (built) thread ??= new Thread();
}

class Thread {
  private readonly worker = new Worker(new URL("./answers.js", import.meta.url));
  /** Who waits, in the order of the questions. */
  private readonly waiting: { resolve(value: Answers[keyof Answers]): void; reject(error: unknown): void }[] = [];
  private patience: NodeJS.Timeout | undefined;

  constructor() {
    this.worker.on("message", (answer: Answer) => {
      const asker = this.waiting.shift();
      if ("error" in answer) asker?.reject(answer.error);
      else asker?.resolve(answer.value);
      if (this.waiting.length === 0) this.rest();
    });
    this.worker.on("error", (error) => this.end(error));
    this.worker.on("exit", () => this.end(new Error("the thread of TypeScript has ended")));
    this.rest();
  }

  ask(asked: Asked): Promise<Answers[keyof Answers]> {
    clearTimeout(this.patience);
    // The process waits for an answer, and for nothing else.
    this.worker.ref();
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.worker.postMessage(asked);
    });
  }

  private rest(): void {
    this.worker.unref();
    this.patience = setTimeout(() => {
      this.end(undefined);
      void this.worker.terminate();
    }, PATIENCE).unref();
  }

  private end(error: unknown): void {
    if (thread === this) thread = undefined;
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }
}
