/**
 * All that TypeScript does for a model file, as two questions with plain answers, because they are asked across threads (thread.ts):
 * what the file and its own imports are in JavaScript, and what is wrong with their types. The first is quick and the second is not.
 */
import { dirname, join, relative } from "node:path";
import { type Project, type SourceFile, ts } from "ts-morph";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { Site } from "../dsl/sites.js";
import { createProject, typeErrors } from "./check.js";
import { emitMarked, type Marked } from "./marked.js";

export interface Question {
  /** Absolute. */
  readonly path: string;
  /** What the file is called in messages and in the IR. */
  readonly shown: string;
}

export interface EmittedFile extends Marked {
  readonly path: string;
  readonly display: string;
}

export interface Reading {
  /** The model's own files, the main one first. */
  readonly files: readonly EmittedFile[];
  /** The call sites of all files, which the marks in the code are indices of. */
  readonly sites: readonly Site[];
  /** Whether all of it is TypeScript. */
  readonly parsed: boolean;
}

/** Kept: a new project reads the whole library again, which takes longer than checking a model. */
let shared: { readonly project: Project; files: readonly SourceFile[] } | undefined;

export function read({ path, shown }: Question): Reading {
  const sites: Site[] = [];
  const files = current(path)
    .files.filter((file) => !file.isDeclarationFile())
    .map((file): EmittedFile => {
      const display = displayed(file, path, shown);
      return { path: file.getFilePath(), display, ...emitMarked(file.compilerNode, display, sites) };
    });
  return { files, sites, parsed: files.every((file) => file.parsed) };
}

export function check({ path, shown }: Question): readonly Diagnostic[] {
  const { project, files } = current(path);
  const problems = files.flatMap((file) => typeErrors(project, file, displayed(file, path, shown)));
  // The project remembers what it did not find, and would not look again for a file that is there the next time.
  if (problems.some(({ message }) => message.startsWith("Cannot find"))) shared = undefined;
  return problems;
}

/** The project with the model's own files, as they are by now, and no other model's. */
function current(path: string): { readonly project: Project; readonly files: readonly SourceFile[] } {
  shared ??= { project: createProject(), files: [] };
  const { project, files: old } = shared;
  for (const file of old) file.refreshFromFileSystemSync();
  const files = ownFiles(project, path);
  for (const file of old) if (!files.includes(file) && !file.wasForgotten()) project.removeSourceFile(file);
  shared.files = files;
  return { project, files };
}

/** The model file and what it imports by relative path, each once. */
function ownFiles(project: Project, path: string): SourceFile[] {
  const found: SourceFile[] = [];
  const add = (file: SourceFile): void => {
    if (found.includes(file)) return;
    found.push(file);
    for (const declaration of [...file.getImportDeclarations(), ...file.getExportDeclarations()]) {
      const name = declaration.getModuleSpecifierValue();
      const target = name?.startsWith(".") ? imported(project, name, file) : undefined;
      if (target) add(target);
    }
  };
  add(project.getSourceFile(path) ?? project.addSourceFileAtPath(path));
  return found;
}

/** Found by its path: the checker would know it too, once it has read the whole library. JSON and JavaScript are Node's to read. */
function imported(project: Project, name: string, from: SourceFile): SourceFile | undefined {
  const host = project.getModuleResolutionHost();
  const { resolvedModule } = ts.resolveModuleName(name, from.getFilePath(), project.getCompilerOptions(), host);
  if (!resolvedModule || !/\.[cm]?ts$/.test(resolvedModule.resolvedFileName)) return undefined;
  return project.addSourceFileAtPathIfExists(resolvedModule.resolvedFileName);
}

/** What a file is called, seen from what the main one is called. */
function displayed(file: SourceFile, main: string, shown: string): string {
  const near = relative(dirname(main), file.getFilePath());
  return (shown.includes("/") ? join(dirname(shown), near) : near).replaceAll("\\", "/");
}
