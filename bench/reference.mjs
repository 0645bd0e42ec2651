// The text of the plain kernel that is timed beside every job (measure.mjs).
import { readFileSync } from "node:fs";

export const referenceCode = () => readFileSync(new URL("./reference.wgsl", import.meta.url), "utf8");
