/** The other end of thread.ts: where the questions are answered, one after the other. */
import { parentPort } from "node:worker_threads";
import type { Answer, Asked } from "./thread.js";
import { check, read } from "./typescript.js";

const answers = { read, check };

parentPort?.on("message", (asked: Asked) => parentPort?.postMessage(answerTo(asked)));

function answerTo({ name, question }: Asked): Answer {
  try {
    return { value: answers[name](question) };
  } catch (error) {
    return { error };
  }
}
