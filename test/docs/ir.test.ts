/** The examples of docs/ir.md are canonical text of legal modules. */
import { describe, expect, test } from "vitest";
import { parseModule } from "../../src/ir/parse.js";
import { printModule } from "../../src/ir/print.js";
import { verify } from "../../src/ir/verify.js";
import { excerptOf } from "./generated.js";

describe("examples", () => {
  test.each(["linear", "state", "gradient", "kernels"])("%s", (name) => {
    const text = excerptOf("docs/ir.md", name);
    const module = parseModule(text, "docs/ir.md");
    verify(module);
    expect(printModule(module).trimEnd()).toBe(text);
  });
});
