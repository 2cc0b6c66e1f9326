"""The package, built and installed away from the checkout, works by itself."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


# What each pipeline needs of the package, in as little time as it takes.
SHORT = {
    "mnist_cnn": ["--epochs", "1"],
    "resnet_transfer": ["--epochs", "1", "--unfreeze", "none"],
    "bert_text": ["--epochs", "1"],
    "lstm_recommender": ["--epochs", "1"],
}


def test_the_built_package_runs_every_pipeline_away_from_the_checkout(tmp_path):
    # Dependencies come from this environment: what is tested is that the wheel holds all that is the package's own.
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", target, _copy_of_the_tree(tmp_path / "tree")], check=True)
    away = tmp_path / "away"
    away.mkdir()
    environment = os.environ | {"PYTHONPATH": str(target), "HOME": str(away)}

    def call(*words):
        found = subprocess.run([sys.executable, *words], env=environment, cwd=away, text=True, capture_output=True)
        assert found.returncode == 0, found.stderr
        return found.stdout

    assert call("-c", "import kerasuite; print(kerasuite.__file__)").startswith(str(target))
    assert [line.split()[0] for line in call("-m", "kerasuite", "list").splitlines()] == sorted(SHORT)
    for name, settings in SHORT.items():
        run_dir = away / call("-m", "kerasuite", "run", name, "--sample", *settings).splitlines()[-1]
        assert "95% interval" in (run_dir / "report.html").read_text()


def _copy_of_the_tree(folder):
    """The files that git tracks, since building leaves files behind."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder
