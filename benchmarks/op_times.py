"""How long each kind of operation took while something ran, from TensorFlow's profiler."""

from __future__ import annotations

import collections
import tempfile
from collections.abc import Callable
from pathlib import Path


def measured(run: Callable[[], object]) -> dict[str, float]:
    """Seconds by kind of operation, the longest first. Operations run side by side: together they exceed the time.

    Args:
        run: what is measured; it has run before, so that nothing is traced.
    """
    import tensorflow as tf

    # Not of TensorFlow's public interface, which shows the profile in TensorBoard's plugin alone.
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            run()
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    found = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name, is_op, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                # Operations are called name:Kind; what they are within has names with spaces, or with ::.
                if is_op and name and kind.isidentifier() and not set(" :") & set(name):
                    found[kind] += event.duration_ps / 1e12
    return dict(found.most_common())
