// onnxruntime-web through its WebGPU provider.
import * as ort from "onnxruntime-web/webgpu";
import { sessionForward } from "./onnx-session.mjs";

export const forward = (task, model) => sessionForward(ort, task, model, "webgpu");
