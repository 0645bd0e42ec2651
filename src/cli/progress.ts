/**
 * Progress of a long command on stderr: a bar where a person watches, and elsewhere (a log file, a CI) a plain line now and then,
 * so that nothing is drawn over and over and nobody believes that it hangs.
 */
import cliProgress from "cli-progress";

export interface Progress {
  /** `note` is shown at the end: a loss, say. */
  update(done: number, total: number, note?: string): void;
  /** Takes the bar away; what it said last stays. */
  end(): void;
}

/** Seconds between plain lines. */
const QUIET = 15;

export interface ProgressOptions {
  /** Whether a person watches. Default: stderr is a terminal. */
  readonly bar?: boolean | undefined;
  readonly print?: ((line: string) => void) | undefined;
  /** Milliseconds, for tests. */
  readonly now?: (() => number) | undefined;
}

export function progress(what: string, options: ProgressOptions = {}): Progress {
  return (options.bar ?? process.stderr.isTTY === true) ? bar(what) : lines(what, options);
}

function bar(what: string): Progress {
  const format = `${what} [{bar}] {value}/{total} {eta_formatted} {note}`;
  const drawn = new cliProgress.SingleBar({ format, stream: process.stderr, hideCursor: true, clearOnComplete: false });
  let started = false;
  return {
    update(done, total, note = "") {
      if (!started) drawn.start(total, done, { note });
      else drawn.update(done, { note });
      started = true;
    },
    end() {
      if (started) drawn.stop();
    },
  };
}

function lines(
  what: string,
  { print = (line) => void process.stderr.write(`${line}\n`), now = () => performance.now() }: ProgressOptions,
): Progress {
  let last = Number.NEGATIVE_INFINITY;
  return {
    update(done, total, note = "") {
      if (done < total && now() - last < 1000 * QUIET) return;
      last = now();
      print(`${what} ${done}/${total}${note === "" ? "" : ` ${note}`}`);
    },
    end() {},
  };
}
