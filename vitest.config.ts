/**
 * One project for each adapter. GPU projects run in processes of their own (forks), whose variables choose the driver: in threads
 * they would be ignored, and all "adapters" would silently be one. A missing driver fails its project: nothing is skipped.
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";
import { cacheFolder } from "./src/runtime/node/cache.js";
import { findChromium } from "./src/runtime/node/chromium.js";
import {
  chooseDriver,
  type DriverKind,
  driverEnv,
  driverVariable,
  findDrivers,
  type SubgroupWidth,
} from "./src/runtime/node/driver.js";

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const alias = { "dit-compile": source("./src/index.ts") };

/** A driver's variables; without a driver only its name, so that asking for a device fails and says why. */
function variables(kind: DriverKind, width?: SubgroupWidth): Record<string, string> {
  try {
    const choice = chooseDriver(kind, width === undefined ? {} : { width });
    const halves = choice.adapter.features.includes("shader-f16") ? "1" : "0";
    return { ...driverEnv(choice), DIT_TEST_ADAPTER: choice.adapter.description, DIT_TEST_HALVES: halves };
  } catch {
    return { [driverVariable]: kind, DIT_TEST_ADAPTER: "missing" };
  }
}

/** Node beside the browser's tests runs on the browser's own SwiftShader, so that the two can be compared bit by bit. */
function browserVariables(): Record<string, string> {
  const library = findChromium()?.swiftshader;
  const choice = library && findDrivers().find(({ where }) => dirname(where) === dirname(library));
  return choice
    ? { ...driverEnv(choice), DIT_TEST_ADAPTER: `Chromium, ${choice.adapter.description}` }
    : variables("swiftshader");
}

function project(
  name: string,
  include: string[],
  env: Record<string, string>,
  more: object = {},
): TestProjectInlineConfiguration {
  return { resolve: { alias }, test: { name, include, env: { ...env, DIT_TEST_PROJECT: name }, pool: "forks", ...more } };
}

// A CPU driver compiles a kernel on one core, which takes longer than running it on all, so two files at a time; and patience.
const patient = { testTimeout: 240_000, hookTimeout: 240_000 };

/**
 * test/gpu: what depends on the subgroup width, on every adapter, and what the same files say of the rest on those of test/driver.
 * test/driver: what does not depend on it, once for each driver. test/one: trainers, commands and programs whose kernels the others prove,
 * on one adapter, because another would say the same. test/long: what measures or kills processes, on one adapter, each file in its own.
 *
 * Without `isolate` a process runs many files and loads modules, TypeScript's library above all, once: a third of the time was that.
 */
const gpu = (name: string, kind: DriverKind, width: SubgroupWidth | undefined, folders: readonly string[], isolate = false) =>
  project(
    name,
    folders.map((folder) => `test/${folder}/**/*.test.ts`),
    {
      ...variables(kind, width),
      ...(width === undefined ? {} : { DIT_TEST_SUBGROUP: String(width) }),
      // Where a driver has a project of its own for another width, that one proves what does not depend on it: test/gpu/sample.ts.
      ...(folders.includes("driver") ? { DIT_TEST_WHOLE: "1" } : {}),
      // For test/long/memory.test.ts: large blocks that are freed go back to the system at once.
      MALLOC_MMAP_THRESHOLD_: "1048576",
      // Most of the time of these tests is lavapipe's compiler; without its optimizer it takes half. What it makes must not come into the
      // cache that people's own commands use.
      GALLIVM_PERF: "nopt",
      MESA_SHADER_CACHE_DIR: join(cacheFolder(), "mesa-of-tests"),
    },
    { ...patient, isolate },
  );

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      project(
        "cpu",
        ["test/**/*.test.ts"],
        {},
        {
          exclude: [
            "test/gpu/**",
            "test/driver/**",
            "test/one/**",
            "test/long/**",
            "test/web/**",
            "test/null/**",
            "test/torch/**",
            "**/node_modules/**",
          ],
          isolate: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      ),
      // `npm run test:torch`: what is exported, in PyTorch itself.
      project("torch", ["test/torch/**/*.test.ts"], {}, patient),
      project("null", ["test/null/**/*.test.ts"], {}, patient),
      gpu("lavapipe-4", "lavapipe", 4, ["gpu"]),
      gpu("lavapipe-8", "lavapipe", 8, ["gpu", "driver", "one"]),
      gpu("lavapipe-16", "lavapipe", 16, ["gpu"]),
      gpu("lavapipe-long", "lavapipe", 8, ["long"], true),
      gpu("swiftshader", "swiftshader", 4, ["gpu", "driver"]),
      // For `npm run measure` on a machine that has a GPU.
      ...(process.env.DIT_TEST_HARDWARE ? [gpu("hardware", "hardware", undefined, ["gpu", "driver", "one"])] : []),
      project("web", ["test/web/**/*.test.ts"], browserVariables(), patient),
    ],
  },
});
