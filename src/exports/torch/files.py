# Files: safetensors with PyTorch alone, checkpoints of dit-compile and of the official trainer.

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def load_safetensors(path):
    """The tensors of a file, mapped into memory and read when they are used, and its metadata."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = DTYPES[entry["dtype"]]
        if begin == end:
            tensors[name] = torch.empty(entry["shape"], dtype=dtype)
            continue
        count = (end - begin) // torch.empty((), dtype=dtype).element_size()
        flat = torch.frombuffer(data, dtype=dtype, count=count, offset=8 + length + begin)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors, metadata


def save_safetensors(path, tensors, metadata=None):
    header, offset = {"__metadata__": metadata or {}}, 0
    names = {dtype: name for name, dtype in DTYPES.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        end = offset + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    draft = f"{path}.tmp"
    with open(draft, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(tensor.numpy().tobytes())
    os.replace(draft, path)


def load_checkpoint(path):
    """{"model", "ema", "m", "v"} as state dicts, and "step": of weights, of a training here or of one in PyTorch."""
    if str(path).endswith(".safetensors"):
        tensors, _ = load_safetensors(path)
        parts = {"model": "p.", "ema": "ema.", "m": "m.", "v": "v."}
        if not any(name.startswith("p.") for name in tensors):
            return {"model": tensors, "ema": tensors, "m": {}, "v": {}, "step": 0}
        found = {
            part: {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            for part, prefix in parts.items()
        }
        # What is not trained has no average of its own.
        found["ema"] = {**found["model"], **found["ema"]}
        return {**found, "step": int(tensors["step"])}
    # A .pt file can run code when it is loaded: only ever one of your own.
    stored = torch.load(path, map_location="cpu", **({"weights_only": False} if FUSED_ATTENTION else {}))
    if "model" not in stored:
        return {"model": stored, "ema": stored, "m": {}, "v": {}, "step": 0}
    states = {name: stored["opt"]["state"][i] for i, name in enumerate(stored["model"]) if i in stored["opt"]["state"]}
    return {
        "model": stored["model"],
        "ema": stored["ema"],
        "m": {name: state["exp_avg"] for name, state in states.items()},
        "v": {name: state["exp_avg_sq"] for name, state in states.items()},
        "step": max((int(state["step"]) for state in states.values()), default=0),
    }


def restore(checkpoint, model, ema, optimizer):
    """Puts a checkpoint in place; returns the number of steps that it has behind it."""
    model.load_state_dict(checkpoint["model"])
    ema.load_state_dict(checkpoint["ema"])
    for name, parameter in model.named_parameters():
        if name in checkpoint["m"]:
            optimizer.state[parameter] = {
                "step": torch.tensor(float(checkpoint["step"])),
                "exp_avg": checkpoint["m"][name].clone().to(parameter),
                "exp_avg_sq": checkpoint["v"][name].clone().to(parameter),
            }
    return checkpoint["step"]


def save_training(path, model, ema, optimizer, args):
    """As the official trainer saves it: `dit-compile import FILE.pt -o RUN` goes on with it."""
    draft = f"{path}.tmp"
    torch.save({"model": model.state_dict(), "ema": ema.state_dict(), "opt": optimizer.state_dict(), "args": args}, draft)
    os.replace(draft, path)
