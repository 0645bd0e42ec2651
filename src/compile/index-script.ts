/**
 * The bundle's index.js: the runtime, bundled into one file, and a `load` that knows where it lies. In a page or a worker the runtime
 * fetches the files; Node cannot fetch files, so there they are read, and the caller hands in the device.
 */
import { existsSync, readFileSync } from "node:fs";
import { fail, InternalError } from "../diagnostics/diagnostic.js";
import type { Program } from "../program/program.js";
import type { Variants } from "../program/variants.js";

/** `// …` at the top of generated files. */
export const titleOf = ({ hash, model }: Program): string =>
  `// dit-compile program ${hash}: ${model.name}${model.preset ? ` ${model.preset}` : ""}. Generated.`;

/** `runtime` is the runtime bundled into one text; by default the one of this installation. */
export function indexScript(program: Program, runtime = runtimeText()): string {
  // The runtime's own `load` takes an address; ours is exported in its place.
  const exported = /\nexport \{([^{}]*)\};\s*$/.exec(runtime);
  const names = exported?.[1]?.split(",").map((name) => name.trim());
  if (!exported || !names?.includes("load")) throw new InternalError("the bundled runtime does not end with its exports");
  const list = names.filter((name) => name !== "" && name !== "load");
  const body = runtime.slice(0, exported.index).trim();
  return [titleOf(program), body, LOADER, `export { ${[...list, "load as loadFrom", "loadBundle as load"].join(", ")} };\n`].join(
    "\n",
  );
}

/** Beside index.js where there are variants: the file, and what fetches, measures and applies them. */
export const variantFiles = (program: Program, variants: Variants): (readonly [string, string])[] => [
  ["variants.json", `${JSON.stringify(variants)}\n`],
  ["variants.js", [titleOf(program), runtimeText("variants")].join("\n")],
];

/** Made by the build; a run from source takes the last build's. */
function runtimeText(name: "web" | "variants" = "web"): string {
  const places = ["../runtime", "../../dist/runtime"].map((path) => new URL(`${path}/${name}.bundle.js`, import.meta.url));
  const found = places.find((place) => existsSync(place));
  if (!found) return fail("DIT7014", "the bundled runtime is missing from this installation", { help: "npm run build" });
  return readFileSync(found, "utf8");
}

const LOADER = `
/** Loads the bundle that this file belongs to. */
async function loadBundle(options = {}) {
	const here = new URL("./", import.meta.url);
	if (here.protocol !== "file:") return load(here, options);
	if (!options.device) throw new DitRuntimeError("DIT6002", "outside a browser load needs a device", "load({ device }), with a device of the webgpu package, for one");
	// A name in a variable, so that no bundler looks for Node's modules.
	const fs = "node:fs";
	const { createReadStream, promises } = await import(/* @vite-ignore */ /* webpackIgnore: true */ fs);
	const read = (name) => promises.readFile(new URL(name, here));
	const program = JSON.parse((await read("program.json")).toString());
	const files = [...new Set(program.kernels.flatMap((kernel) => kernel.variants.map((variant) => variant.file)))];
	const texts = await Promise.all(files.map((file) => read(file)));
	const wgsl = Object.fromEntries(files.map((file, i) => [file, texts[i].toString()]));
	const session = await createSession({ program, wgsl, constants: new Uint8Array(await read("constants.bin")) }, options.device, options);
	if (options.weights === undefined) return session;
	const weights = new URL(options.weights, here);
	try {
		await streamWeights(session, createReadStream(weights), { label: String(weights) });
	} catch (error) {
		session.dispose();
		throw error;
	}
	return session;
}
`;
