"""Raw files to an evaluated, deployable Keras model, in one command."""

__version__ = "0.1.0"


def load(run_dir):
    """A finished run or sweep: its Keras model, its predictor, its numbers. See `kerasuite.commands.load.Run`."""
    from kerasuite.commands.load import load as load_run

    return load_run(run_dir)


def begin(pipeline, settings):
    """Make a run directory for the steps of a pipeline, and return its path. See `kerasuite.commands.run.begin`."""
    from kerasuite.commands.run import begin as begin_run

    return begin_run(pipeline, settings)


def sweep(pipeline, settings, **search):
    """Find the best settings, and return the sweep's directory. See `kerasuite.commands.sweep.Search` for `search`."""
    from kerasuite.commands import sweep as verb

    return verb.start(pipeline, settings, verb.Search(**search))
