"""The package, built and installed away from the checkout, works by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


# What each pipeline needs of the package, in as little time as it takes.
SHORT = {
    "mnist_cnn": ["--epochs", "1"],
    "resnet_transfer": ["--epochs", "1", "--unfreeze", "none"],
    "bert_text": ["--epochs", "1"],
    "lstm_recommender": ["--epochs", "1"],
}
SAMPLES = ("resnet14.npz", "reviews.csv", "trashnet", "README.md")


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """What a command says, where nothing but the built package is; and the folder that it runs in."""
    # Dependencies come from this environment: what is tested is that the wheel holds all that is the package's own.
    folder = tmp_path_factory.mktemp("package")
    target, away = folder / "installed", folder / "away"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", target, _copy_of_the_tree(folder / "tree")], check=True)
    away.mkdir()
    environment = os.environ | {"PYTHONPATH": str(target), "HOME": str(away)}

    def call(*words):
        found = subprocess.run([sys.executable, *words], env=environment, cwd=away, text=True, capture_output=True)
        assert found.returncode == 0, found.stderr
        return found.stdout

    assert call("-c", "import kerasuite; print(kerasuite.__file__)").startswith(str(target))
    return call, away


def test_the_built_package_has_every_pipeline_and_all_samples(call):
    assert [line.split()[0] for line in call[0]("-m", "kerasuite", "list").splitlines()] == sorted(SHORT)
    code = f"from kerasuite.data import named; print(all(named.sample(name).exists() for name in {SAMPLES}))"
    assert call[0]("-c", code).strip() == "True"


@pytest.mark.parametrize(
    "name", [name if name == "mnist_cnn" else pytest.param(name, marks=pytest.mark.slow) for name in SHORT]
)
def test_the_built_package_runs_away_from_the_checkout(call, name):
    run, away = call
    run_dir = away / run("-m", "kerasuite", "run", name, "--sample", *SHORT[name]).splitlines()[-1]
    assert "95% interval" in (run_dir / "report.html").read_text()


def _copy_of_the_tree(folder):
    """The files that git tracks, since building leaves files behind."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder
