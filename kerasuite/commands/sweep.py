"""`kerasuite sweep`: the best settings within a budget, chosen without the test rows."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
from pathlib import Path
from typing import Any, Literal

from kerasuite import cli, cluster, config, run_directory, whole_files
from kerasuite.commands import run
from kerasuite.commands.sweeps import attempt, children, course
from kerasuite.commands.sweeps import workers as several
from kerasuite.commands.sweeps.course import SWEEP
from kerasuite.commands.sweeps.searched import Searched
from kerasuite.errors import InputError, InUse
from kerasuite.ranges import Count, Positive

# A sweep that goes on may be given more, or less, of these.
_MAY_CHANGE = ("trials", "minutes", "workers")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """Settings of a sweep."""

    trials: Count = 20
    """Trials at most; of hyperband each round of a trial counts."""
    minutes: Positive | None = None
    """Time for all of it: no trial begins that would leave too little for what is trained again at the end, for which
    there is a third of the time at most."""
    tuner: Literal["random", "bayesian", "hyperband", "grid"] = "bayesian"
    """How settings are chosen, by Keras Tuner's oracles. random and bayesian begin with the settings as they are given,
    if these lie in what is searched."""
    objective: str | None = None
    """Number of validation to choose by, such as val_loss; the pipeline's own if not given. Losses fall, others
    rise."""
    set: tuple[str, ...] = ()
    """What is searched, in place of the pipeline's own space: learning_rate=1e-4..1e-2:log dim=32..128:32 (by steps)
    model=cnn,mlp."""
    space: str | None = None
    """Python file with a function space(hp, config), which returns a config: what is searched, in Keras Tuner's
    words."""
    stop_early: bool = True
    """End a trial that is worse than the median of the others after as many epochs; not where epochs are searched."""
    best: Count = 3
    """Trials that are trained again with fresh seeds, if there is time; the best mean of these wins."""
    fresh_seeds: Count = 2
    """Fresh seeds for each of them."""
    workers: Count = 1
    """Processes that run trials side by side on this machine."""

    def __post_init__(self):
        config.refuse_out_of_range(self)
        if self.set and self.space:
            raise InputError("--set and --space both say what is searched; pass one of them.")


def main(args: list[str]) -> int:
    """Sweep the pipeline that the first argument names; the last line printed is the sweep's directory."""
    import tyro

    if not args or args[0] in ("-h", "--help"):
        print("usage: kerasuite sweep NAME [settings of the sweep] [settings of the pipeline]\n")
        print("\n".join(f"  {name}  {line}" for name, line in cli.pipelines().items()))
        print("\nkerasuite sweep NAME --help lists the sweep's settings, kerasuite run NAME --help the pipeline's.")
        return 0
    name = args[0]
    module = cli.pipeline(name)
    prog = f"kerasuite sweep {name}"
    description = (
        f"{__doc__.splitlines()[0]} The settings of {name} may be given too: kerasuite run {name} --help.\n\n"
        "The same command goes on with a sweep that was interrupted."
    )
    search, rest = tyro.cli(Search, args=args[1:], prog=prog, description=description, return_unknown_args=True)
    settings = config.parse(module.Config, module.SAMPLE, rest, prog, module.__doc__)
    print(start(name, settings, search))
    return 0


def start(name: str, settings: config.Settings, search: Search) -> Path:
    """Begin a sweep, or go on with the one of these settings that is not finished.

    Raises:
        InputError: the settings, the space or the data cannot be used.
    """
    record = {
        "pipeline": name,
        "command": config.command(name, settings, search, verb="sweep"),
        "settings": dataclasses.asdict(settings),
        "search": dataclasses.asdict(search),
    }
    if settings.seeds > 1:
        raise InputError("--seeds is of a single run; how often a sweep trains the best again is --fresh-seeds.")
    if settings.minutes is not None:
        raise InputError("The --config has minutes of one training; those of a sweep, --minutes, are for all of it.")
    cluster.work_alone()
    several.refuse_half_an_environment()
    children.prepare()
    searched = Searched(name, settings, search)
    searched.declared()  # what cannot be searched is told before anything is made
    known = _unfinished(name, settings, record)
    sweep_dir = known or run_directory.create(settings.output, Path("runs") / name / "sweeps")
    try:
        return _go_on(sweep_dir, searched, record)
    except InUse:
        raise
    except InputError:
        if known is None and not (sweep_dir / course.DATA).is_file():
            run.discard(sweep_dir, made_parents=not settings.output)
        raise


def resume(sweep_dir: Path) -> Path:
    """Go on with a sweep, by its own settings."""
    cluster.work_alone()
    several.end_with_parent()
    children.prepare()
    record = whole_files.read_json(sweep_dir / SWEEP)
    module = cli.pipeline(record["pipeline"])
    settings = config.from_dict(module.Config, record["settings"], str(sweep_dir / SWEEP))
    search = config.from_dict(Search, record["search"], str(sweep_dir / SWEEP))
    return _go_on(sweep_dir, Searched(record["pipeline"], settings, search), record)


def _go_on(sweep_dir: Path, searched: Searched, record: dict[str, Any]) -> Path:
    if course.is_finished(sweep_dir):
        print("This sweep is finished; nothing to do.")
        attempt.forget(sweep_dir)
        return sweep_dir
    kept = signal.signal(signal.SIGTERM, _interrupt)
    # Workers share the sweep of their chief.
    held = contextlib.nullcontext() if several.is_worker() else run_directory.locked(sweep_dir, attempt.LOCK)
    try:
        with held:
            if not (several.is_worker() and (sweep_dir / SWEEP).is_file()):
                whole_files.write_json(sweep_dir / SWEEP, record)
            course.Course(sweep_dir, searched).go_on()
            # Not before there is a report, by which others know that there is nothing to do.
            if course.is_finished(sweep_dir):
                (sweep_dir / attempt.LOCK).unlink(missing_ok=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"What was done so far is kept. Go on by the same command, or by: kerasuite resume {sweep_dir}"
        ) from None
    finally:
        signal.signal(signal.SIGTERM, kept)
    return sweep_dir


def _interrupt(number, frame):
    raise KeyboardInterrupt


def _unfinished(name: str, settings: config.Settings, record: dict[str, Any]) -> Path | None:
    """The sweep to go on with: that in --output, or the last of the pipeline's that has these settings."""
    if settings.output:
        path = Path(settings.output)
        if not (path / SWEEP).is_file():
            return None
        if differing := _differing(whole_files.read_json(path / SWEEP), record):
            raise InputError(
                f"--output {path} holds a sweep with other settings: {', '.join(differing)}. Pass those of that sweep "
                "to go on with it, or another --output."
            )
        return path
    for path in sorted((Path("runs") / name / "sweeps").glob(f"*/{SWEEP}"), reverse=True):
        if not course.is_finished(path.parent) and not _differing(whole_files.read_json(path), record):
            print(f"Going on with {path.parent}.")
            return path.parent
    return None


def _differing(known: dict[str, Any], record: dict[str, Any]) -> list[str]:
    """Names of the settings that are not alike."""
    flat = [
        {"pipeline": each["pipeline"]} | each["settings"] | {f"sweep.{name}": v for name, v in each["search"].items()}
        for each in (known, json.loads(json.dumps(record)))
    ]
    free = {"output", *(f"sweep.{name}" for name in _MAY_CHANGE)}
    return sorted(
        name.removeprefix("sweep.")
        for name in flat[0].keys() | flat[1].keys()
        if name not in free and flat[0].get(name) != flat[1].get(name)
    )
