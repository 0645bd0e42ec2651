/**
 * From a path to a model: type-check the file and what it imports from its own folder, and only if that is clean run it.
 * A model file is code: it runs on this machine with the rights of the user. Its `require` is ours: "dit-compile" is the running
 * instance (a second copy of the language would record into another trace), relative files are emitted like the model itself, and
 * the rest is Node's own require seen from the model file.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire, SourceMap } from "node:module";
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { compileFunction } from "node:vm";
import type { Project, SourceFile } from "ts-morph";
import { type Diagnostic, DitError, fail, InternalError, type Span } from "../diagnostics/diagnostic.js";
import { isModelDefinition, type ModelDefinition } from "../dsl/model.js";
import { originOf, outermostOf, type Site, spanOf } from "../dsl/sites.js";
import { createProject, typeErrors } from "./check.js";
import { emitMarked, markers } from "./locate.js";

export interface LoadOptions {
  /** What `import … from "dit-compile"` gives: the namespace of the running instance, from whoever has it without a cycle. */
  readonly library: object;
}

export interface LoadedModel {
  /** The file as it is called in messages and in the IR. */
  readonly file: string;
  readonly definition: ModelDefinition;
  /** The model's own files, the main one first, as in `file`; absolute paths as values. */
  readonly sources: ReadonlyMap<string, string>;
  /** Runs code of the model: an exception of its own becomes a diagnostic with its place. */
  guard<T>(run: () => T): T;
}

/** Of the process, made when first needed: a new one reads the whole library again, which takes longer than checking a model. */
let shared: { readonly project: Project; files: readonly SourceFile[] } | undefined;

export function loadModel(file: string, options: LoadOptions): LoadedModel {
  const path = resolve(file);
  if (!existsSync(path))
    fail("DIT1003", `there is no file ${file}`, { help: "check the path; it is taken from the folder that the command runs in" });
  if (!statSync(path).isFile())
    fail("DIT1003", `${file} is a folder, expected a model file`, {
      help: "name the TypeScript file whose default export is a model",
    });
  // Given by an absolute path, a file is called by its name alone: what is compiled must not depend on where a home folder is.
  const shown = isAbsolute(file) ? basename(file) : file.split(sep).join("/");
  const display = (other: string) => {
    const near = relative(dirname(path), other).split(sep).join("/");
    return shown.includes("/") ? join(dirname(shown), near).split(sep).join("/") : near;
  };

  shared ??= { project: createProject(), files: [] };
  const { project, files: old } = shared;
  for (const file of old) file.refreshFromFileSystemSync();
  const files = ownFiles(project, path);
  for (const file of old) if (!files.includes(file) && !file.wasForgotten()) project.removeSourceFile(file);
  shared.files = files;
  const problems = files.flatMap((f) => typeErrors(project, f, display(f.getFilePath())));
  // It remembers what it did not find, and would not look again for a file that is there the next time.
  if (problems.some(({ message }) => message.startsWith("Cannot find"))) shared = undefined;
  if (problems.length > 0) throw new DitError(problems);

  const runner = new Runner(files, display, options.library, path);
  const exported = runner.guard(() => runner.require(path));
  const definition = (exported as { default?: unknown }).default;
  if (definition === undefined) {
    fail("DIT1004", `${shown} has no default export`, { help: "end it with: export default defineModel({ … })" });
  }
  if (!isModelDefinition(definition)) {
    fail("DIT1004", `the default export of ${shown} is no model`, { help: "end it with: export default defineModel({ … })" });
  }
  const sources = new Map(files.map((f) => [display(f.getFilePath()), f.getFilePath() as string]));
  return { file: shown, definition: guarded(definition, runner.guard), sources, guard: runner.guard };
}

/** The model file and what it imports by relative path, each once. */
function ownFiles(project: Project, path: string): SourceFile[] {
  const found: SourceFile[] = [];
  const add = (file: SourceFile): void => {
    if (found.includes(file)) return;
    found.push(file);
    for (const declaration of [...file.getImportDeclarations(), ...file.getExportDeclarations()]) {
      const target = declaration.getModuleSpecifierValue()?.startsWith(".")
        ? declaration.getModuleSpecifierSourceFile()
        : undefined;
      if (target) add(target);
    }
  };
  add(project.getSourceFile(path) ?? project.addSourceFileAtPath(path));
  return found;
}

/** Everything of the model that runs its own code, guarded. */
function guarded(model: ModelDefinition, guard: LoadedModel["guard"]): ModelDefinition {
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
  private readonly sites: Site[] = [];
  private readonly modules = new Map<string, { exports: unknown }>();
  private readonly maps = new Map<string, string>();
  private readonly files: ReadonlyMap<string, SourceFile>;
  private readonly outside: NodeJS.Require;

  constructor(
    files: readonly SourceFile[],
    private readonly display: (path: string) => string,
    private readonly library: object,
    main: string,
  ) {
    this.files = new Map(files.map((f) => [f.getFilePath() as string, f]));
    this.outside = createRequire(main);
  }

  /** The exports of one of the model's own files. */
  require(path: string): unknown {
    const known = this.modules.get(path);
    if (known) return known.exports;
    const file = this.files.get(path);
    if (!file) throw new InternalError(`the model file ${path} was not loaded`);
    const module = { exports: {} as unknown };
    this.modules.set(path, module);
    const { code, map } = emitMarked(file.compilerNode, this.display(path), this.sites);
    this.maps.set(path, map);
    const { __call, __method } = markers(this.sites);
    const names = ["exports", "require", "module", "__filename", "__dirname", "__call", "__method"];
    const run = compileFunction(code, names, { filename: path });
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
    return this.outside(name);
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
      const map = path && this.maps.get(path);
      if (!map) continue;
      const entry = new SourceMap(JSON.parse(map)).findEntry(Number(line) - 1, Number(column) - 1);
      if (!("originalLine" in entry)) continue;
      const text = readFileSync(path, "utf8").split(/\r?\n/)[entry.originalLine];
      return {
        file: this.display(path),
        line: entry.originalLine + 1,
        column: entry.originalColumn + 1,
        ...(text === undefined ? {} : { text }),
      };
    }
    return undefined;
  }
}
