// Our own program in a page: the bundle's folder, as any page loads it.
import { load } from "../../dist/runtime/web.js";
import { sessionForward, sessionTrain, writeWeights } from "./session.mjs";

export const forward = async (task) => sessionForward(await loaded(task), task);
export const train = async (task) => sessionTrain(await loaded(task), task);

async function loaded(task) {
  const session = await load("/bundle/", { batch: task.batch });
  await writeWeights(session, task);
  return session;
}
