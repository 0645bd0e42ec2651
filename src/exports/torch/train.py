# Training: torchrun starts it on any number of processes, each with its share of the batch. Order and noise are drawn for the whole batch
# from the seed and the number of the step, so they do not depend on the number of processes.


def make_optimizer(model):
    c = CONFIG
    return torch.optim.AdamW(
        model.parameters(),
        lr=c["learningRate"],
        betas=(c["beta1"], c["beta2"]),
        eps=c["epsilon"],
        weight_decay=c["weightDecay"],
    )


def train_step(losses, model, ema, optimizer, step, x_start, t, y, noise):
    """One update from this process' share of the batch. `losses` is Losses(model), in DDP where there are several processes."""
    c = CONFIG
    optimizer.zero_grad(set_to_none=True)
    found = losses(x_start, t, y, noise)
    found["loss"].backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    norm = torch.stack([p.grad.norm() for p in trained]).norm()
    # Gradients are means over all processes, so all of them judge alike. A step that is not finite changes nothing.
    if torch.isfinite(norm):
        if c["clipNorm"] > 0:
            for p in trained:
                p.grad.mul_((c["clipNorm"] / (norm + 1e-6)).clamp(max=1))
        warmth = min(1.0, (step + 1) / c["warmupSteps"]) if c["warmupSteps"] > 0 else 1.0
        for group in optimizer.param_groups:
            group["lr"] = c["learningRate"] * warmth
        optimizer.step()
        decay = min(c["emaDecay"], (step + 1) / (step + 10)) if c["emaWarmup"] else c["emaDecay"]
        with torch.no_grad():
            for average, p in zip(ema.parameters(), model.parameters()):
                average.mul_(decay).add_(p, alpha=1 - decay)
    return {name: value.detach().mean() for name, value in found.items()}


class Latents:
    """A safetensors file with `latents` (or x) [n, channels, height, width] and `labels` (or y) [n], as dit-compile trains on."""

    def __init__(self, path):
        tensors, metadata = load_safetensors(path)
        self.x = tensors["latents"] if "latents" in tensors else tensors["x"]
        self.y = tensors["labels"] if "labels" in tensors else tensors["y"]
        self.scale = float(metadata.get("scale", 1))

    def batch(self, indices):
        return self.x[indices].float() * self.scale, self.y[indices].to(torch.int32)

    def indices(self, first, count, seed):
        """Samples first .. first + count - 1 of an endless sequence in which every epoch is shuffled anew."""
        n, found = len(self.x), []
        for epoch in range(first // n, (first + count - 1) // n + 1):
            order = torch.randperm(n, generator=torch.Generator().manual_seed(seed * 1000003 + epoch))
            found.append(order[max(first - epoch * n, 0) : first + count - epoch * n])
        return torch.cat(found)


def draws(x_start, y, seed, step):
    """Timesteps, labels (some replaced by the null class) and noise of a whole batch; half of the images mirrored where asked for."""
    c, n = CONFIG, len(y)
    generator = torch.Generator().manual_seed(seed * 1000003 + step)
    t = torch.randint(0, TIMESTEPS, (n,), generator=generator, dtype=torch.int32)
    noise = torch.randn(x_start.shape, generator=generator)
    dropped = torch.rand(n, generator=generator) < c["classDropoutProb"]
    y = torch.where(dropped, torch.full_like(y, c["numClasses"]), y) if c["classDropoutProb"] > 0 else y
    if c["horizontalFlip"]:
        mirrored = torch.rand(n, generator=generator) < 0.5
        x_start = torch.where(mirrored[:, None, None, None], x_start.flip(-1), x_start)
    return x_start, t, y, noise


def main():
    parser = argparse.ArgumentParser(description="Trains the model above; torchrun starts it on several processes.")
    parser.add_argument("--data", required=True, help="safetensors file of latents and labels")
    parser.add_argument("--output", required=True, help="the checkpoint to write, like run.pt")
    parser.add_argument("--weights", help="weights to begin with: safetensors, or a checkpoint")
    parser.add_argument("--resume", help="a checkpoint to go on with: .pt, or one of dit-compile's own")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--global-batch-size", type=int, default=256)
    parser.add_argument("--global-seed", type=int, default=0)
    parser.add_argument("--log-every", type=int, default=100)
    parser.add_argument("--checkpoint-every", type=int, default=50000)
    args = parser.parse_args()

    world, rank, local = (int(os.environ.get(key, other)) for key, other in (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0)))
    cuda = torch.cuda.is_available()
    if args.global_batch_size % world > 0:
        parser.error(f"--global-batch-size {args.global_batch_size} is no multiple of {world} processes")
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if world > 1:
        torch.distributed.init_process_group("nccl" if cuda else "gloo")

    torch.manual_seed(args.global_seed)
    model = Model().to(device)
    ema = copy.deepcopy(model).requires_grad_(False)
    optimizer = make_optimizer(model)
    step = 0
    if args.weights:
        weights = load_checkpoint(args.weights)["model"]
        model.load_state_dict(weights)
        ema.load_state_dict(weights)
    if args.resume:
        step = restore(load_checkpoint(args.resume), model, ema, optimizer)
    losses = Losses(model)
    if world > 1:
        losses = nn.parallel.DistributedDataParallel(losses, device_ids=[local] if cuda else None, broadcast_buffers=False)

    data = Latents(args.data)
    share = args.global_batch_size // world
    mine = slice(rank * share, (rank + 1) * share)
    started = time.time()
    while step < args.steps:
        indices = data.indices(step * args.global_batch_size, args.global_batch_size, args.global_seed)
        whole = draws(*data.batch(indices), args.global_seed, step)
        found = train_step(losses, model, ema, optimizer, step, *(part[mine].to(device) for part in whole))
        step += 1
        if step % args.log_every == 0 or step == args.steps:
            if world > 1:
                for value in found.values():
                    torch.distributed.all_reduce(value)
            means = ", ".join(f"{name} {value.item() / world:.4f}" for name, value in found.items())
            if rank == 0:
                print(f"step {step}: {means}, {time.time() - started:.0f} s", flush=True)
        if rank == 0 and (step == args.steps or (args.checkpoint_every > 0 and step % args.checkpoint_every == 0)):
            save_training(args.output, model, ema, optimizer, args)
    if world > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
