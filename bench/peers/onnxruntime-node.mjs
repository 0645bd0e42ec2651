// onnxruntime's own build for Node, on the CPU.
import * as ort from "onnxruntime-node";
import { sessionForward } from "./onnx-session.mjs";

export const forward = (task, model) => sessionForward(ort, task, model, "cpu");
