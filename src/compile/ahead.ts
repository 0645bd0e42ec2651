/**
 * For whoever is going to compile and has the compiler itself to load first: TypeScript, which takes longest to load, begins in its thread
 * meanwhile. This file loads nothing else.
 */
export { wake as loadTypeScriptAhead } from "../frontend/thread.js";
