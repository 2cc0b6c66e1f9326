import os
import subprocess
import sys

import pytest

from kerasuite import __version__, cli
from kerasuite.errors import EnvironmentFault, InputError
from kerasuite.pipelines import mnist_cnn


def raising(error):
    def call():
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (InputError("no such file"), 2, "Error: no such file"),
        (EnvironmentFault("the disk is full"), 1, "Error: the disk is full"),
        (KeyboardInterrupt("Go on by: x"), 130, "Stopped. Go on by: x"),
        (KeyboardInterrupt(), 130, "Stopped."),
    ],
)
def test_an_error_for_a_person_is_one_message_and_a_status(capsys, error, status, message):
    assert cli.guarded(raising(error)) == status
    assert capsys.readouterr().err.strip() == message


def test_an_error_of_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        cli.guarded(lambda: 1 / 0)


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (3, 3)])
def test_what_a_call_returns_is_the_status(returned, status):
    assert cli.guarded(lambda: returned) == status


def test_the_list_has_a_line_for_each_pipeline(capsys):
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*cli.pipelines()]
    assert "mnist_cnn" in cli.pipelines()
    assert "Images to a convolutional classifier" in "".join(lines)


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_verb(capsys, args):
    assert cli.main(args) == 0
    shown = capsys.readouterr().out
    assert all(f"  {verb} " in shown for verb in cli.VERBS)


def test_the_version_is_the_packages(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["predicct"], "did you mean predict?"),
        (["zzz"], "There is no verb 'zzz'; there are list"),
        (["run", "mnist_cn"], "There is no pipeline 'mnist_cn'; did you mean mnist_cnn?"),
        (["run", "__init__"], "There is no pipeline '__init__'"),
    ],
)
def test_an_unknown_word_is_refused_and_the_nearest_suggested(capsys, args, message):
    assert cli.main(args) == 2
    assert message in capsys.readouterr().err


def test_every_verb_answers_help(capsys):
    for verb in cli.VERBS.keys() - {"list", "run", "sweep"}:
        with pytest.raises(SystemExit) as end:
            cli.main([verb, "--help"])
        assert end.value.code == 0
        assert f"usage: kerasuite {verb}" in capsys.readouterr().out


def test_help_and_list_answer_without_tensorflow():
    code = (
        "import contextlib, sys\n"
        "from kerasuite.cli import main\n"
        "for args in (['list'], ['--help'], ['run'], ['run', 'mnist_cnn', '--help'], ['predict', '--help'],\n"
        "             ['evaluate', '--help'], ['resume', '--help'], ['demo', '--help']):\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main(args)\n"
        "assert not {'tensorflow', 'keras', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "print('reached the end')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("reached the end\n"), done.stderr
    assert "--learning-rate" in done.stdout


@pytest.mark.parametrize("args", [["list"], ["run", "mnist_cnn", "--help"]])
def test_a_reader_that_has_gone_is_no_error(args):
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    # Unbuffered output would show the fault at the first print, and not at the end of the process.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "kerasuite", *args]
    done = subprocess.run(command, stdout=reader.stdin, stderr=subprocess.PIPE, env=buffered)
    reader.stdin.close()
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_script_and_the_command_are_the_same_program():
    script = [sys.executable, mnist_cnn.__file__, "--epoch", "3"]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--epochs" in done.stderr
