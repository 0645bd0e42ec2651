// The steps in a worker; the page gets its one message.
import { load } from "./dit/index.js";
import { steps } from "./steps.js";

postMessage(
  await steps(load).then(
    (result) => ({ result }),
    (error) => ({ error: `${error.name}: ${error.message}` }),
  ),
);
