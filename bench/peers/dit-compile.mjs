// Our own program, measured by the same rules as the others. Compiling is done ahead, as for a page that loads a bundle.
import { join } from "node:path";
import { fromDist, root } from "../../scripts/dist.mjs";
import { sessionForward, sessionTrain, writeWeights } from "./session.mjs";
import { entryOf } from "./works.mjs";

const { compile } = await fromDist("compile/compile.js");
const { createSession } = await fromDist("runtime/session.js");
const { requestDevice } = await fromDist("runtime/node/dawn.js");

/** A compiled work: to be made before the clock runs. */
export async function ahead({ preset, batch, set, kind }) {
  const { bundle } = await compile(join(root, "models/dit.graph.ts"), { preset, batch, set, entries: [entryOf[kind]] });
  return bundle;
}

export const forward = async (task, bundle) => sessionForward(await load(task, bundle), task);
export const train = async (task, bundle) => sessionTrain(await load(task, bundle), task);

async function load(task, bundle) {
  const { device } = await requestDevice();
  const session = await createSession(bundle, device, { batch: task.batch });
  await writeWeights(session, task);
  return session;
}
