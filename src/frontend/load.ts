/**
 * From a path to a model: TypeScript gives the file, and what it imports from its own folder, as JavaScript, and that is run. While the
 * caller works with the model, TypeScript checks the types in its thread; what it finds goes before all that came of the work.
 * A model file is code: it runs on this machine with the rights of the user. Its `require` is ours: "dit-compile" is the running
 * instance (a second copy of the language would record into another trace), relative files are emitted like the model itself, and
 * the rest, JSON among it, is Node's own require seen from the file that asks.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire, SourceMap } from "node:module";
import { basename, dirname, isAbsolute, join, resolve, sep } from "node:path";
import { compileFunction } from "node:vm";
import { type Diagnostic, DitError, fail, InternalError, type Span } from "../diagnostics/diagnostic.js";
import { isModelDefinition, type ModelDefinition } from "../dsl/model.js";
import { originOf, outermostOf, spanOf } from "../dsl/sites.js";
import { markers } from "./markers.js";
import { ask } from "./thread.js";
import type { EmittedFile, Reading } from "./typescript.js";

export interface LoadOptions {
  /** What `import … from "dit-compile"` gives: the namespace of the running instance, from whoever has it without a cycle. */
  readonly library: object;
}

export interface LoadedModel {
  readonly definition: ModelDefinition;
  /** Ends when the types are found to be right, and is a DitError where they are not. Nothing leaves the compiler before. */
  readonly checked: Promise<void>;
}

/** Loads a model file for `work`. Errors: DitError, of the types if they are wrong, else of the file and of `work`. */
export async function withModel<T>(file: string, options: LoadOptions, work: (model: LoadedModel) => T | Promise<T>): Promise<T> {
  const path = resolve(file);
  if (!existsSync(path))
    fail("DIT1003", `there is no file ${file}`, { help: "check the path; it is taken from the folder that the command runs in" });
  if (!statSync(path).isFile())
    fail("DIT1003", `${file} is a folder, expected a model file`, {
      help: "name the TypeScript file whose default export is a model",
    });
  // Given by an absolute path, a file is called by its name alone: what is compiled must not depend on where a home folder is.
  const shown = isAbsolute(file) ? basename(file) : file.split(sep).join("/");
  const reading = ask("read", { path, shown });
  const checked = ask("check", { path, shown }).then((problems) => {
    if (problems.length > 0) throw new DitError(problems);
  });
  const worked = reading.then(async (read) => {
    // What does not even parse is not run.
    if (!read.parsed) await checked;
    return work({ definition: run(read, shown, options.library), checked });
  });
  const [types, result] = await Promise.allSettled([checked, worked]);
  if (types.status === "rejected") throw types.reason;
  if (result.status === "rejected") throw result.reason;
  return result.value;
}

/** Runs the files to the model that the first of them exports. */
function run({ files, sites }: Reading, shown: string, library: object): ModelDefinition {
  const runner = new Runner(files, markers(sites), library);
  const exported = runner.guard(() => runner.require(files[0]!.path));
  const definition = (exported as { default?: unknown }).default;
  if (definition === undefined) {
    fail("DIT1004", `${shown} has no default export`, { help: "end it with: export default defineModel({ … })" });
  }
  if (!isModelDefinition(definition)) {
    fail("DIT1004", `the default export of ${shown} is no model`, { help: "end it with: export default defineModel({ … })" });
  }
  return guarded(definition, runner.guard);
}

/** Everything of the model that runs its own code, guarded. */
function guarded(model: ModelDefinition, guard: Runner["guard"]): ModelDefinition {
  const { gflops } = model;
  return {
    ...model,
    gflops: gflops && ((config) => guard(() => gflops(config))),
    configured: (config) => {
      const traced = guard(() => model.configured(config));
      return { ...traced, forward: (inputs) => guard(() => traced.forward(inputs)) };
    },
  };
}

const overflows = (error: unknown): boolean => error instanceof RangeError && error.message.includes("call stack");

/** An exception of the model's own code, in words. */
function explained(error: unknown): Pick<Diagnostic, "message" | "help"> {
  if (!(error instanceof Error)) return { message: `the model file threw ${String(error)}` };
  if (overflows(error)) {
    return { message: "functions called from here call each other without end", help: "a recursion must reach an end" };
  }
  // Node lists the files that asked, by their absolute paths, in further lines.
  const message = `the model file threw ${error.name}: ${error.message.split("\n")[0]}`;
  const [, missing] = /^Cannot find module '([^'.][^']*)'/.exec(error.message) ?? [];
  return missing === undefined ? { message } : { message, help: `npm install ${missing}, where the model file lies` };
}

class Runner {
  private readonly modules = new Map<string, { exports: unknown }>();
  private readonly files: ReadonlyMap<string, EmittedFile>;

  constructor(
    files: readonly EmittedFile[],
    private readonly marks: ReturnType<typeof markers>,
    private readonly library: object,
  ) {
    this.files = new Map(files.map((f) => [f.path, f]));
  }

  /** The exports of one of the model's own files. */
  require(path: string): unknown {
    const known = this.modules.get(path);
    if (known) return known.exports;
    const file = this.files.get(path);
    if (!file) throw new InternalError(`the model file ${path} was not loaded`);
    const module = { exports: {} as unknown };
    this.modules.set(path, module);
    const { __call, __method } = this.marks;
    const names = ["exports", "require", "module", "__filename", "__dirname", "__call", "__method"];
    const run = compileFunction(file.code, names, { filename: path });
    run(module.exports, (name: string) => this.resolve(name, path), module, path, dirname(path), __call, __method);
    return module.exports;
  }

  private resolve(name: string, from: string): unknown {
    if (name === "dit-compile") return this.library;
    if (name.startsWith(".")) {
      const target = resolve(dirname(from), name);
      const stem = target.replace(/\.[cm]?[jt]s$/, "");
      const own = [target, `${stem}.ts`, `${stem}.mts`, `${stem}.cts`, `${target}.ts`, join(target, "index.ts")].find((p) =>
        this.files.has(p),
      );
      if (own) return this.require(own);
    }
    return createRequire(from)(name);
  }

  /** Diagnostics pass; any other exception of the model becomes one. Our own broken contracts stay what they are. */
  readonly guard = <T>(run: () => T): T => {
    try {
      return run();
    } catch (error) {
      if (error instanceof DitError || error instanceof InternalError) throw error;
      // Where the stack's last frame lies is chance; the call that began the recursion is not.
      const site = overflows(error) ? outermostOf(error) : originOf(error);
      const span = (overflows(error) ? undefined : this.thrownAt(error)) ?? (site && spanOf(site));
      throw new DitError({ code: "DIT1005", ...explained(error), ...(span ? { span } : {}) });
    }
  };

  /** The innermost frame of the stack that lies in the model's files, mapped back to its source. */
  private thrownAt(error: unknown): Span | undefined {
    const stack = error instanceof Error ? (error.stack ?? "") : "";
    for (const frame of stack.split("\n")) {
      const [, path, line, column] = /(?:\(|at )([^()]+):(\d+):(\d+)\)?$/.exec(frame.trim()) ?? [];
      const file = path && this.files.get(path);
      if (!file) continue;
      const entry = new SourceMap(JSON.parse(file.map)).findEntry(Number(line) - 1, Number(column) - 1);
      if (!("originalLine" in entry)) continue;
      const text = readFileSync(path, "utf8").split(/\r?\n/)[entry.originalLine];
      return {
        file: file.display,
        line: entry.originalLine + 1,
        column: entry.originalColumn + 1,
        ...(text === undefined ? {} : { text }),
      };
    }
    return undefined;
  }
}
