/**
 * The memory plan of every model that comes with the compiler: for each entry and several batches the packer's layout passes the
 * validator, which knows WebGPU's rules, and the report counts the same bytes.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { type Compiled, compile } from "../../src/compile/compile.js";
import { pack, peak } from "../../src/program/pack.js";
import { validateLayout } from "../../src/program/validate.js";
import { validate } from "../../src/program/structure.js";
