// A forward pass through either onnxruntime: one session of fixed sizes, with every optimization of the graph.

/** From an ONNX file's bytes. `provider`: "webgpu" or "cpu". */
export async function sessionForward(ort, { inputs }, model, provider) {
  const session = await ort.InferenceSession.create(model, { executionProviders: [provider], graphOptimizationLevel: "all" });
  const types = { x: "float32", features: "float32", y: "int32" };
  const run = async () => {
    const feeds = Object.entries(types).map(([name, type]) => {
      const { data, shape } = inputs.get(name);
      return [name, new ort.Tensor(type, data, shape)];
    });
    const { out } = await session.run(Object.fromEntries(feeds));
    return out.data;
  };
  return { run };
}
