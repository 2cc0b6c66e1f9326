"""The photos that ship with the package: a spread of TrashNet's, made small.

python benchmarks/trashnet_sample.py --data trashnet --output kerasuite/samples/trashnet
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOS, SHORT_SIDE, QUALITY = 80, 96, 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="TrashNet's class folders")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    given = parser.parse_args()
    for folder in sorted(path for path in given.data.iterdir() if path.is_dir()):
        files = sorted(folder.glob("*.jpg"))
        target = given.output / folder.name
        target.mkdir(parents=True, exist_ok=True)
        for place in np.linspace(0, len(files) - 1, PHOTOS).round().astype(int):
            with Image.open(files[place]) as photo:
                ratio = SHORT_SIDE / min(photo.size)
                small = photo.convert("RGB").resize(
                    [round(side * ratio) for side in photo.size], Image.Resampling.LANCZOS
                )
            small.save(target / files[place].name, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main()
