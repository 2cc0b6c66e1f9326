"""Keras's ResNet-50 at 224, images a second, for benchmarks/resnet_transfer.py: the plain way, and ours.

python benchmarks/keras_resnet50.py float32|mixed_bfloat16|ours
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from kerasuite import devices


def main(kind: str) -> None:
    """64 images at a time; random weights are as fast as others."""
    devices.import_tensorflow()
    import keras
    import tensorflow as tf

    from kerasuite import frozen
    from kerasuite.models import backbones

    if kind == "mixed_bfloat16":
        keras.config.set_dtype_policy(kind)
    model = backbones.load("resnet50", (224, 224), pretrained=False).model
    batch = tf.random.stateless_uniform((64, 224, 224, 3), (0, 0)) * 255
    if kind == "ours":
        used = frozen.choose("auto", model, batch[:32])["used"]
        call = frozen.forward(model, used)
    else:
        used, call = kind, tf.function(lambda x: model(x, training=False))
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        call(batch).numpy()
        times.append(time.perf_counter() - begun)
    print(json.dumps({"used": used, "a_second": 64 / statistics.median(times[2:])}))


if __name__ == "__main__":
    main(sys.argv[1])
