"""PyTorch's ResNet-50 at 224 on the CPU, images a second, for benchmarks/resnet_transfer.py.

    python benchmarks/torch_resnet50.py float32|bfloat16     (wants torch, and nothing else)

The architecture is that of He et al. 2016 with the stride in the 3x3 convolution; random weights are as fast as others.
"""

import json
import statistics
import sys
import time

import torch
from torch import nn


def norm_conv(inputs, outputs, size, stride=1):
    convolve = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(convolve, nn.BatchNorm2d(outputs))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.body = nn.Sequential(
            norm_conv(inputs, width, 1), nn.ReLU(inplace=True),
            norm_conv(width, width, 3, stride), nn.ReLU(inplace=True),
            norm_conv(width, 4 * width, 1),
        )  # fmt: skip
        same = stride == 1 and inputs == 4 * width
        self.shortcut = nn.Identity() if same else norm_conv(inputs, 4 * width, 1, stride)

    def forward(self, x):  # noqa: D102
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet50():
    layers = [norm_conv(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, (count, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for k in range(count):
            layers.append(Bottleneck(inputs, width, 2 if stage and not k else 1))
            inputs = 4 * width
    return nn.Sequential(*layers)


def main():
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[sys.argv[1]]
    model = resnet50().eval().to(dtype=dtype, memory_format=torch.channels_last)
    batch = torch.rand(64, 3, 224, 224).to(dtype=dtype, memory_format=torch.channels_last)
    times = []
    with torch.inference_mode():
        model = torch.jit.freeze(torch.jit.trace(model, batch[:2]))  # folds the normalisation, as ours does
        for _ in range(7):
            begun = time.perf_counter()
            model(batch)
            times.append(time.perf_counter() - begun)
    print(json.dumps({"a_second": 64 / statistics.median(times[2:]), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
