"""The package, built and installed away from the checkout, works by itself."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_built_package_runs_the_demo_away_from_the_checkout(tmp_path):
    # Dependencies come from this environment: what is tested is that the wheel holds all that is the package's own.
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", target, _copy_of_the_tree(tmp_path / "tree")], check=True)
    away = tmp_path / "away"
    away.mkdir()
    environment = os.environ | {"PYTHONPATH": str(target), "HOME": str(away)}
    found = subprocess.run(
        [sys.executable, "-c", "import kerasuite; print(kerasuite.__file__)"], env=environment, cwd=away, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert found.stdout.startswith(str(target))
    demo = subprocess.run(
        [sys.executable, "-m", "kerasuite", "demo"], env=environment, cwd=away, text=True, capture_output=True
    )
    assert demo.returncode == 0, demo.stderr
    assert "mnist_cnn" in demo.stdout
    report = Path(demo.stdout.splitlines()[-1].removeprefix("Report: "))
    assert report.is_relative_to(away)
    assert "Accuracy" in report.read_text()


def _copy_of_the_tree(folder):
    """The files that git tracks, since building leaves files behind."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder
