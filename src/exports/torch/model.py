# How a parameter begins, and what the model is made of beside PyTorch's own.


def declare(module, name, value, trainable=True):
    """Registers a parameter under its official name: "blocks.0.attn.qkv.weight" lies in modules of these names."""
    *path, leaf = name.split(".")
    for part in path:
        if part not in module._modules:
            module.add_module(part, nn.Module())
        module = module._modules[part]
    module.register_parameter(leaf, nn.Parameter(value, requires_grad=trainable))


def uniform(shape, bound):
    return torch.empty(shape).uniform_(-bound, bound)


def normal(shape, std):
    return torch.empty(shape).normal_(0.0, std)


def timestep_table(steps, width):
    """Cosines, then sines of every timestep, in float64."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(steps, dtype=torch.float64)[:, None] * frequencies
    return torch.cat((angles.cos(), angles.sin()), dim=1).float()


def position_table(width, grid):
    """Sines and cosines of the column, then of the row."""
    quarter = width // 4
    frequencies = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(grid, dtype=torch.float64)[:, None] * frequencies
    column = angles.repeat(grid, 1)
    row = angles.repeat_interleave(grid, 0)
    return torch.cat((column.sin(), column.cos(), row.sin(), row.cos()), dim=1).float()[None]


def schedule_table(steps):
    """Of each timestep what noising and the loss need of the linear schedule, in float64."""
    betas = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64) * (1000 / steps)
    kept = torch.cumprod(1 - betas, 0)
    before = torch.cat((torch.ones(1, dtype=torch.float64), kept[:-1]))
    variance = betas * (1 - before) / (1 - kept)
    columns = (
        kept.sqrt(),
        (1 - kept).sqrt(),
        (1 / kept).sqrt(),
        (1 / kept - 1).sqrt(),
        betas * before.sqrt() / (1 - kept),
        betas.log(),
        torch.cat((variance[1:2], variance[1:])).log(),
    )
    return torch.stack(columns, dim=1).float()


def numbers(text, shape, dtype=torch.float32):
    """A table that no formula above gives, as it was."""
    data = bytearray(zlib.decompress(base64.b64decode(text)))
    return torch.frombuffer(data, dtype=dtype).reshape(shape).clone()


def attention(q, k, v, scale):
    """softmax(scale * q k^T) v along the last two axes."""
    if FUSED_ATTENTION:
        return F.scaled_dot_product_attention(q, k, v, scale=scale)
    return torch.softmax(scale * (q @ k.transpose(-1, -2)), dim=-1) @ v


# PyTorch's own kernel takes the scale from version 2.1 on.
FUSED_ATTENTION = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 1)
