"""The optimizers and the learning rate schedules."""

import inspect
import math
from functools import lru_cache
from typing import Any

import torch

from mnist_cli.config import TrainConfig
from mnist_cli.models.checkpoints import is_whole
from mnist_cli.training.parameters import ParameterGroups

# The state that each optimizer needs for every parameter.
KEPT: dict[str, set[str]] = {"sgd": set(), "adam": {"step", "exp_avg", "exp_avg_sq"}, "rmsprop": {"step", "square_avg"}}
KEPT["adamw"] = KEPT["adam"]


def learning_rate_at(done: float, config: TrainConfig) -> float:
    """Return the learning rate of the schedule after the fraction `done` of a run, 0 to 1."""
    warmup = config.warmup
    if done < warmup:
        return config.learning_rate * max(done / warmup, 0.01)
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule == "step":  # a tenth at half of the run, a hundredth at three quarters
        return config.learning_rate * 0.1 ** ((done >= 0.5) + (done >= 0.75))
    return config.learning_rate * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2


def factor_at(step: int, changes: str) -> float:
    """Return by what the learning rate of the schedule is multiplied at a step, given `TrainConfig.rate_changes`."""
    return max(((since, factor) for since, factor in _changes(changes) if since <= step), default=(0, 1.0))[1]


def with_change(changes: str, step: int, factor: float) -> str:
    """Return `TrainConfig.rate_changes` with another factor from a step on; those of later steps are dropped."""
    kept = [change for change in changes.split(",") if change and int(change.split(":")[0]) < step]
    return ",".join([*kept, f"{step}:{factor:.4f}".rstrip("0").rstrip(".")])


@lru_cache(1)
def _changes(text: str) -> list[tuple[int, float]]:
    return [(int(step), float(factor)) for step, factor in (change.split(":") for change in text.split(",") if change)]


class _Uncompiled:
    """The methods of an optimizer without a wrapper that imports torch's compiler, which takes a second or more.

    The wrapper only keeps them from being compiled, and nothing here compiles an optimizer.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)


class _Sgd(_Uncompiled, torch.optim.SGD): ...


class _Adam(_Uncompiled, torch.optim.Adam): ...


class _AdamW(_Uncompiled, torch.optim.AdamW): ...


class _RmsProp(_Uncompiled, torch.optim.RMSprop): ...


def make_optimizer(parameters: ParameterGroups, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer of `config`, with weight decay on the weights of layers only."""
    weights, others = parameters.updated
    groups = [{"params": weights, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    on_cuda = weights[0].is_cuda
    # A captured step reads the learning rate from a fixed address, so on CUDA it is a tensor on the device.
    rate = torch.tensor(config.learning_rate, device=weights[0].device) if on_cuda else config.learning_rate
    match config.optimizer:
        # fused: one call updates all parameters, not a dozen for each.
        case "sgd":
            return _Sgd(groups, rate, config.momentum, nesterov=config.momentum > 0, fused=True)
        case "adam":
            return _Adam(groups, rate, fused=True, capturable=on_cuda)
        case "adamw":
            return _AdamW(groups, rate, fused=True, capturable=on_cuda)
        case "rmsprop":
            return _RmsProp(groups, rate, momentum=config.momentum, capturable=on_cuda)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of `optimizer`."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def state_of(optimizer: torch.optim.Optimizer, parameters: ParameterGroups) -> dict[str, Any]:
    """Return the `state_dict` of an optimizer of the model's parameters, flat or not."""
    whole = optimizer.state_dict()
    numbers = iter(range(sum(map(len, parameters.groups))))
    settings = [
        {**of_group, "params": [next(numbers) for _ in group]}
        for of_group, group in zip(whole["param_groups"], parameters.groups, strict=True)
    ]
    return {"state": parameters.split(whole["state"]), "param_groups": settings}


def load_state(optimizer: torch.optim.Optimizer, parameters: ParameterGroups, kind: str, state: dict[str, Any]) -> None:
    """Load what `state_of` returned for an optimizer of the same `kind` into `optimizer`.

    Raises an error when it is not that of the same parameters.
    """
    every = [parameter for group in parameters.groups for parameter in group]
    for number, values in dict(state["state"]).items():
        if not values.keys() >= KEPT[kind]:
            raise ValueError(f"the state of its {kind} lacks something")
        for name, value in values.items():
            if value is None and name not in KEPT[kind]:
                continue
            shape = torch.Size() if name == "step" else every[number].shape
            if value is None or value.shape != shape or not value.is_floating_point() or not is_whole(value):
                raise ValueError(f"the {name} of its {kind} is not that of its parameters")
    # The state alone: the settings next to it are those of the device that it was saved on.
    settings = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": parameters.join(dict(state["state"])), "param_groups": settings})
