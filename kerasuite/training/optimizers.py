"""Optimizers and learning-rate schedules by name."""

from __future__ import annotations

import keras

from kerasuite.training.fused_adam import FusedAdamW

OPTIMIZERS = ("sgd", "momentum", "adam", "adamw")
SCHEDULES = ("constant", "cosine", "one_cycle", "warmup_cosine", "warmup_linear")


def schedule(name: str, peak: float, total_steps: int) -> keras.optimizers.schedules.LearningRateSchedule | float:
    """The learning rate as a function of the step alone, so that a resumed run needs no more than its step.

    Args:
        name: `constant`; `cosine` from the peak to 0; `one_cycle`: a rise over the first 30 % from peak/25, then a
            cosine to peak/10,000 (Smith 2018, arXiv:1803.09820; the figures are those of PyTorch's OneCycleLR);
            `warmup_cosine`: a rise from 0 over the first 10 %, then a cosine to 0; `warmup_linear`: the same rise, then
            a straight line to 0 (Devlin et al. 2018, arXiv:1810.04805).
        total_steps: steps of the whole run.
    """
    if name == "constant":
        return peak
    if name == "cosine":
        return keras.optimizers.schedules.CosineDecay(peak, total_steps)
    if name == "one_cycle":
        rise = max(int(0.3 * total_steps), 1)
        return keras.optimizers.schedules.CosineDecay(
            peak / 25, max(total_steps - rise, 1), alpha=1e-4, warmup_target=peak, warmup_steps=rise
        )
    if name == "warmup_cosine":
        rise = max(int(0.1 * total_steps), 1)
        return keras.optimizers.schedules.CosineDecay(
            0.0, max(total_steps - rise, 1), warmup_target=peak, warmup_steps=rise
        )
    if name == "warmup_linear":
        return WarmupLinear(peak, max(int(0.1 * total_steps), 1), total_steps)
    raise ValueError(f"No schedule {name!r}; there are {', '.join(SCHEDULES)}.")


class WarmupLinear(keras.optimizers.schedules.LearningRateSchedule):
    """From 0 to the peak in a straight line, and from there to 0."""

    def __init__(self, peak: float, rise: int, total_steps: int):
        self.peak, self.rise, self.total_steps = peak, rise, total_steps

    def __call__(self, step):
        """The rate of a step."""
        step = keras.ops.cast(step, "float32")
        falling = (self.total_steps - step) / max(self.total_steps - self.rise, 1)
        return self.peak * keras.ops.maximum(keras.ops.minimum(step / self.rise, falling), 0.0)

    def get_config(self):
        """What the schedule is made from again."""
        return {"peak": self.peak, "rise": self.rise, "total_steps": self.total_steps}


def optimizer(name: str, learning_rate, *, weight_decay: float = 0.0) -> keras.optimizers.Optimizer:
    """An optimizer by its name: `sgd`, `momentum` (0.9, Nesterov), `adam`, `adamw`.

    Args:
        learning_rate: a number or a schedule.
        weight_decay: decoupled decay a step, times the rate, of momentum and adamw; biases and normalisation are left
            out.
    """
    if name == "sgd":
        return keras.optimizers.SGD(learning_rate)
    if name == "adam":
        return FusedAdamW(learning_rate, weight_decay=0.0)
    if name == "momentum":
        made = keras.optimizers.SGD(learning_rate, momentum=0.9, nesterov=True, weight_decay=weight_decay or None)
    elif name == "adamw":
        made = FusedAdamW(learning_rate, weight_decay=weight_decay)
    else:
        raise ValueError(f"No optimizer {name!r}; there are {', '.join(OPTIMIZERS)}.")
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return made
