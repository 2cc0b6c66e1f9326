"""The command line: `kerasuite VERB ...`. Answers `--help` and `list` without importing TensorFlow."""

from __future__ import annotations

import ast
import difflib
import importlib
import os
import sys
from collections.abc import Callable
from importlib import resources

from kerasuite.errors import EnvironmentFault, InputError

VERBS = {
    "list": "the pipelines, a line each",
    "run": "run a pipeline: kerasuite run NAME [--sample] [--data ...]; run NAME --help lists its settings",
    "resume": "go on with an interrupted run: kerasuite resume RUN_DIR",
    "launch": "a run in several processes, started again when one dies: kerasuite launch --workers 2 -- run NAME ...",
    "sweep": "the best settings within a budget: kerasuite sweep NAME [--trials N] [--minutes M]",
    "predict": "predict with a finished run: kerasuite predict RUN_DIR FILE_OR_FOLDER... [--output out.csv]",
    "evaluate": "the report of a finished run on other labelled data: kerasuite evaluate RUN_DIR --data NEW",
    "demo": "every pipeline on the sample data that comes with the package",
}


def main(args: list[str] | None = None) -> int:
    """Run one verb.

    Returns:
        Exit status: 0 done, 1 the environment, 2 the user's input, 130 Ctrl-C.
    """
    args = sys.argv[1:] if args is None else args
    return guarded(lambda: _dispatch(args))


def guarded(call: Callable[[], int | None]) -> int:
    """The exit status of a call, with each error meant for a person printed as one message."""
    try:
        try:
            return call() or 0
        finally:
            sys.stdout.flush()
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"\nStopped. {interrupt}".rstrip(), file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing more to say, and nothing to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (EnvironmentFault, OSError, MemoryError) as error:
        print(f"Error: {str(error) or 'out of memory'}", file=sys.stderr)
        return 1


def _dispatch(args: list[str]) -> int | None:
    if not args or args[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0
    verb, rest = args[0], args[1:]
    if verb == "--version":
        from kerasuite import __version__

        print(__version__)
        return 0
    if verb not in VERBS:
        raise InputError(f"There is no verb {verb!r}{_nearest(verb, VERBS)}; there are {', '.join(VERBS)}.")
    if verb == "list":
        width = max(map(len, pipelines()))
        print("\n".join(f"{name:{width}}  {line}" for name, line in pipelines().items()))
        return 0
    return importlib.import_module(f"kerasuite.commands.{verb}").main(rest)


def _usage() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:{width}}  {text}" for verb, text in VERBS.items()]
    return "\n".join(["usage: kerasuite VERB ...", "", *lines, "", "Start with: kerasuite demo"])


def _nearest(word: str, words) -> str:
    near = difflib.get_close_matches(word, list(words), 1)
    return f"; did you mean {near[0]}?" if near else ""


def pipelines() -> dict[str, str]:
    """Every pipeline's name with the first line of its docstring; the files are read, not imported."""
    folder = resources.files("kerasuite.pipelines")
    found = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py") and not file.name.startswith("_"):
            text = ast.get_docstring(ast.parse(file.read_text())) or ""
            found[file.name.removesuffix(".py")] = text.split("\n")[0]
    return found


def pipeline(name: str):
    """A pipeline's module by its name.

    Raises:
        InputError: there is none of that name; those that exist are named.
    """
    if name not in pipelines():
        raise InputError(
            f"There is no pipeline {name!r}{_nearest(name, pipelines())}; there are {', '.join(pipelines())}."
        )
    return importlib.import_module(f"kerasuite.pipelines.{name}")


if __name__ == "__main__":
    sys.exit(main())
