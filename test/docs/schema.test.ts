/** schemas/train.schema.json, which editors read, is made of what the program checks. */
import { toJsonSchema } from "@valibot/to-json-schema";
import { test } from "vitest";
import { trainSchema } from "../../src/trainer/train-config.js";
import { checkPage } from "./generated.js";

test("the schema of train.json", () => {
  const schema = { title: "dit-compile train", ...toJsonSchema(trainSchema) };
  checkPage("schemas/train.schema.json", `${JSON.stringify(schema, null, 2)}\n`);
});
