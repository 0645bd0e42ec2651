"""What an exported file computes on the golden inputs, for export.test.ts to compare: check.py FILE.py WORK,… OUT.safetensors [DATA]."""

import importlib.util
import os
import sys

import torch


def load(path):
    spec = importlib.util.spec_from_file_location("exported", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def forward(m, data):
    model = golden_model(m, data)
    x = data["forward/x"].clone().requires_grad_()
    out = model(x, data["forward/t"], data["forward/y"])
    (out * data["forward/cotangent"]).sum().backward()
    return {"forward/out": out, "forward/dx": x.grad, **gradients(model, "forward/d.")}


def loss(m, data):
    model = golden_model(m, data)
    found = m.Losses(model)(data["loss/x0"], data["loss/t"], data["loss/y"], data["loss/noise"])
    found["loss"].backward()
    return {"loss/mse": found["mse"], "loss/vb": found["vb"], "mean": found["loss"].reshape(1), **gradients(model, "loss/d.")}


def train(m, data):
    """Five steps of the golden run; under torchrun each process takes its part of every batch."""
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    model = golden_model(m, data)
    ema = golden_model(m, data).requires_grad_(False)
    optimizer = m.make_optimizer(model)
    losses = m.Losses(model)
    if world > 1:
        torch.distributed.init_process_group("gloo")
        losses = torch.nn.parallel.DistributedDataParallel(losses, broadcast_buffers=False)
    means = []
    for step in range(5):
        x, t, y, drop, noise = (data[f"train/{name}"][step] for name in ("x0", "t", "y", "drop", "noise"))
        y = torch.where(drop == 1, torch.full_like(y, m.CONFIG["numClasses"]), y)
        share = len(t) // world
        mine = slice(rank * share, (rank + 1) * share)
        found = m.train_step(losses, model, ema, optimizer, step, x[mine], t[mine], y[mine], noise[mine])
        mean = found["loss"].clone()
        if world > 1:
            torch.distributed.all_reduce(mean)
        means.append(mean / world)
    if rank > 0:
        return {}
    states = {name: optimizer.state[p] for name, p in model.named_parameters() if p in optimizer.state}
    m.save_training(os.environ["CHECKPOINT"], model, ema, optimizer, m.argparse.Namespace(global_seed=3, global_batch_size=len(t)))
    return {
        "train/losses": torch.stack(means),
        **{f"train/w5.{name}": p for name, p in model.state_dict().items()},
        **{f"train/ema0.9999.{name}": p for name, p in ema.state_dict().items()},
        **{f"train/m5.{name}": state["exp_avg"] for name, state in states.items()},
        **{f"train/v5.{name}": state["exp_avg_sq"] for name, state in states.items()},
    }


def fresh(m, data):
    """How a model begins, and its table of positions."""
    torch.manual_seed(0)
    return m.Model().state_dict()


def ops(m, data):
    """Functions of an exported file by their number, on inputs "number/name"."""
    found = {}
    for number, function in enumerate(m.CASES):
        given = {name.split("/")[1]: value for name, value in data.items() if name.split("/")[0] == str(number)}
        for name, value in function(*(given[f"x{i}"] for i in range(len(given)))).items():
            found[f"{number}/{name}"] = value.float()
    return found


def golden_model(m, data):
    model = m.Model()
    model.load_state_dict({name[2:]: tensor.clone() for name, tensor in data.items() if name.startswith("w/")})
    return model


def gradients(model, prefix):
    return {f"{prefix}{name}": p.grad for name, p in model.named_parameters() if p.requires_grad}


if __name__ == "__main__":
    torch.set_num_threads(1)
    file, works, out, golden = sys.argv[1:5]
    module = load(file)
    given = module.load_safetensors(golden)[0]
    results = {}
    for work in works.split(","):
        results.update(globals()[work](module, given))
    if results:
        module.save_safetensors(out, {name: value.clone() for name, value in results.items()})
