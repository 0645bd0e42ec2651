"""The DiT in PyTorch, on a CUDA device where there is one: asked for one line at a time, answered with one line, so that whoever asks holds the clock.

Lines in: "run" or "step", "gradients FILE" (writes what the first step left). Lines out: JSON.
"""
import json
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

folder = sys.argv[1]
task = json.load(open(f"{folder}/task.json"))
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def read(name):
    """A safetensors file: the length of a JSON header, the header, the data."""
    with open(f"{folder}/{name}.safetensors", "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    dtypes = {"F32": np.float32, "I32": np.int32}
    return {
        key: torch.from_numpy(
            np.frombuffer(data[slice(*entry["data_offsets"])], dtypes[entry["dtype"]]).reshape(entry["shape"]).copy()
        ).to(device)
        for key, entry in header.items()
        if key != "__metadata__"
    }


weights = read("weights")
inputs = read("inputs")
training = task["kind"] == "train"
trained = [name for name in weights if name not in task["fixed"]]
for name in trained:
    weights[name].requires_grad_(training)

heads, hidden, patch = task["numHeads"], task["hiddenSize"], task["patchSize"]
grid = task["inputSize"] // patch


def dense(x, name):
    weight = weights[f"{name}.weight"]
    return F.linear(x, weight.reshape(weight.shape[0], -1), weights[f"{name}.bias"])


def modulation(condition, name, count):
    return dense(condition, name).unsqueeze(1).chunk(count, dim=-1)


def adaptive_norm(x, shift, scale):
    return F.layer_norm(x, (hidden,), eps=1e-6) * (1 + scale) + shift


def attention(x, name):
    batch, tokens, _ = x.shape
    q, k, v = dense(x, f"{name}.qkv").reshape(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    if hasattr(F, "scaled_dot_product_attention"):
        mixed = F.scaled_dot_product_attention(q, k, v)
    else:
        mixed = (q @ k.transpose(-2, -1) * (hidden // heads) ** -0.5).softmax(dim=-1) @ v
    return dense(mixed.transpose(1, 2).reshape(batch, tokens, hidden), f"{name}.proj")


def block(x, condition, name):
    shift1, scale1, gate1, shift2, scale2, gate2 = modulation(condition, f"{name}.adaLN_modulation.1", 6)
    x = x + gate1 * attention(adaptive_norm(x, shift1, scale1), f"{name}.attn")
    wide = F.gelu(dense(adaptive_norm(x, shift2, scale2), f"{name}.mlp.fc1"), approximate="tanh")
    return x + gate2 * dense(wide, f"{name}.mlp.fc2")


def dit(x, features, y):
    batch = x.shape[0]
    patches = x.reshape(batch, -1, grid, patch, grid, patch).permute(0, 2, 4, 1, 3, 5).reshape(batch, grid * grid, -1)
    tokens = dense(patches, "x_embedder.proj") + weights["pos_embed"]
    time = dense(F.silu(dense(features, "t_embedder.mlp.0")), "t_embedder.mlp.2")
    condition = F.silu(time + F.embedding(y, weights["y_embedder.embedding_table.weight"]))
    for i in range(task["depth"]):
        tokens = block(tokens, condition, f"blocks.{i}")
    shift, scale = modulation(condition, "final_layer.adaLN_modulation.1", 2)
    pixels = dense(adaptive_norm(tokens, shift, scale), "final_layer.linear")
    image = pixels.reshape(batch, grid, grid, patch, patch, task["outChannels"]).permute(0, 5, 1, 3, 2, 4)
    return image.reshape(batch, task["outChannels"], task["inputSize"], task["inputSize"])


given = (inputs["x"], inputs["features"], inputs["y"])
if training:
    optimizer = torch.optim.AdamW(
        [weights[name] for name in trained],
        lr=task["learningRate"],
        betas=(task["beta1"], task["beta2"]),
        eps=task["epsilon"],
        weight_decay=0,
    )


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = F.mse_loss(dit(*given), inputs["noise"])
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.inference_mode()
def run():
    return dit(*given).cpu().numpy()


def write(path, arrays):
    """The arrays one after the other, as f32."""
    with open(path, "wb") as file:
        for array in arrays:
            file.write(np.ascontiguousarray(array, dtype=np.float32).tobytes())


where = torch.cuda.get_device_name() if device.type == "cuda" else "the CPU"
print(json.dumps({"version": torch.__version__, "where": where, "names": trained}), flush=True)
for line in sys.stdin:
    command, _, path = line.strip().partition(" ")
    if command == "step":
        answer = {"loss": step()}
    elif command == "run":
        out = run()
        answer = {}
        if path:
            write(path, [out])
    else:
        write(path, [weights[name].grad.cpu().numpy() for name in trained])
        answer = {}
    print(json.dumps(answer), flush=True)
