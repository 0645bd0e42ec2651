/**
 * Keeps a device at work, so that what is timed next runs at the clock rate of a device that has work: a GPU that had nothing to do, or a
 * pass of two milliseconds now and then, runs at a fraction of it and takes a while to come up.
 */
import type { Session } from "../runtime/session.js";

/** How long a device that had nothing to do may take to come up. */
export const WARM_MS = 200;

/**
 * Passes of an entry, on the inputs that it has, for so many milliseconds or a little longer. A session has two submits on the way, so the
 * device never waits in between; nor at the end, when it is still at the last ones and what is submitted now comes right behind.
 */
export async function keepBusy(session: Pick<Session, "submit">, entry: string, ms: number): Promise<void> {
  const begin = performance.now();
  do await session.submit(entry, undefined, { from: 0 });
  while (performance.now() - begin < ms);
}
