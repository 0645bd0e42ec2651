// Counts by project, for scripts/test.mjs: what was queued and collected against what really gave a result. A worker that dies
// takes its results with it, and the stock JSON report calls what is left a success. And which tests failed, for scripts/measure.mjs.
import { writeFileSync } from "node:fs";

export default class CountingReporter {
  projects = {};

  #of(module) {
    const { name, config } = module.project;
    const { DIT_TEST_ADAPTER: adapter = "", DIT_TEST_SUBGROUP: subgroup = "" } = config.env ?? {};
    this.projects[name] ??= { adapter, subgroup, unfinished: [], collected: 0, passed: 0, failed: 0, skipped: 0, failures: [] };
    return this.projects[name];
  }

  onTestModuleQueued(module) {
    this.#of(module).unfinished.push(module.relativeModuleId);
  }

  onTestModuleCollected(module) {
    this.#of(module).collected += [...module.children.allTests()].length;
  }

  onTestCaseResult(test) {
    const counts = this.#of(test.module);
    const { state, errors } = test.result();
    if (state in counts) counts[state] += 1;
    if (state === "failed") counts.failures.push(failure(test.module, test.fullName, errors));
  }

  onTestModuleEnd(module) {
    const counts = this.#of(module);
    counts.unfinished = counts.unfinished.filter((file) => file !== module.relativeModuleId);
    // A file that cannot be loaded, or whose preparation fails, has no failed test, yet it is a failure.
    if (module.state() !== "failed" || [...module.children.allTests("failed")].length > 0) return;
    counts.failed += 1;
    counts.failures.push(failure(module, "", module.errors()));
  }

  onTestRunEnd(_modules, errors, reason) {
    const file = process.env.DIT_TEST_COUNTS;
    if (file)
      writeFileSync(file, JSON.stringify({ projects: this.projects, errors: errors.map(({ message }) => message), reason }));
  }
}

/** The test and what it said first: enough to know which it was. */
function failure(module, name, errors) {
  const said = (errors?.[0]?.message ?? "").split("\n").slice(0, 5).join("\n").slice(0, 500);
  return { test: [module.relativeModuleId, name].filter(Boolean).join(" > "), said };
}
