"""The optimizers, and how the learning rate goes through a run."""

import math

import torch

from mnist_cli.config import TrainConfig
from mnist_cli.models.architectures import Classifier

# What each optimizer remembers of every parameter, and cannot do without.
KEPT: dict[str, set[str]] = {"sgd": set(), "adam": {"step", "exp_avg", "exp_avg_sq"}, "rmsprop": {"step", "square_avg"}}
KEPT["adamw"] = KEPT["adam"]


def step_size(config: TrainConfig, done: float) -> float:
    """Return the learning rate when the share `done` of a run, 0 to 1, is over."""
    warmup = config.warmup
    if done < warmup:
        return config.learning_rate * max(done / warmup, 0.01)
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule == "step":  # a tenth at half of the run, a hundredth at three quarters
        return config.learning_rate * 0.1 ** ((done >= 0.5) + (done >= 0.75))
    return config.learning_rate * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2


def keep_the_compiler_out() -> None:
    """Spare torch.optim the import of torch's compiler, a second or more.

    It imports it only to mark some methods of optimizers as not to be compiled, on their first call, and looks for the
    marked method in an attribute; nothing here compiles an optimizer, so each method can be its own marked one. On a
    torch that does this another way the attribute is without effect.
    """
    optimizer = torch.optim.Optimizer
    for method in (optimizer.add_param_group, optimizer.zero_grad, optimizer.state_dict, optimizer.load_state_dict):
        plain = getattr(method, "__wrapped__", None)
        if plain is not None:
            vars(plain).setdefault("__dynamo_disable", plain)


def make_optimizer(model: Classifier, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer of `config`, with weight decay on the weights of layers only."""
    keep_the_compiler_out()
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    on_cuda = weights[0].is_cuda
    # A captured step reads the learning rate where it lies, so on CUDA that is a place on the device.
    rate = torch.tensor(config.learning_rate, device=weights[0].device) if on_cuda else config.learning_rate
    match config.optimizer:
        # fused: one call updates all parameters, not a dozen for each.
        case "sgd":
            return torch.optim.SGD(groups, rate, config.momentum, nesterov=config.momentum > 0, fused=True)
        case "adam":
            return torch.optim.Adam(groups, rate, fused=True, capturable=on_cuda)
        case "adamw":
            return torch.optim.AdamW(groups, rate, fused=True, capturable=on_cuda)
        case "rmsprop":
            return torch.optim.RMSprop(groups, rate, momentum=config.momentum, capturable=on_cuda)
