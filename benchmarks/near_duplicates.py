"""Near duplicates: which copies of a photo are found, and how many different photos are taken for copies.

    python benchmarks/near_duplicates.py --data trashnet

Any folder of photos will do. Some of them are copied in the ways that people copy photos, and each copy is looked for
among all photos. Then all photos are compared with one another: whoever knows the folder can tell from the pairs that
are printed last, in the order of their distance, whether they are copies.
"""

from __future__ import annotations

import argparse
import datetime
import io
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from kerasuite import devices
from kerasuite.data import folders, near

COPIED = 300
SHOWN = 60


def saved(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def scaled(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def trimmed(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    box = (width * left, height * top, width * (1 - right), height * (1 - bottom))
    return saved(image.crop([round(side) for side in box]), 90)


def written_on(image: Image.Image) -> Image.Image:
    image = image.copy()
    place = (image.width * 0.55, image.height * 0.9)
    ImageDraw.Draw(image).text(place, "(c) photo archive 2019", "white", stroke_width=1, stroke_fill="black")
    return image


COPIES = {
    "saved as JPEG, quality 50": lambda image: saved(image, 50),
    "saved as JPEG, quality 80": lambda image: saved(image, 80),
    "scaled to half": lambda image: saved(scaled(image, 0.5), 90),
    "scaled to 0.7": lambda image: saved(scaled(image, 0.7), 90),
    "10 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "10 % darker": lambda image: ImageEnhance.Brightness(image).enhance(0.9),
    "trimmed by 2 % on each side": lambda image: trimmed(image, 0.02, 0.02, 0.02, 0.02),
    "trimmed by 3 % on each side": lambda image: trimmed(image, 0.03, 0.03, 0.03, 0.03),
    "trimmed by 3 % on two sides": lambda image: trimmed(image, 0, 0, 0.03, 0.03),
    "trimmed by 5 % on each side": lambda image: trimmed(image, 0.05, 0.05, 0.05, 0.05),
    "a line of text written on it": written_on,
    "blurred (radius 1.5)": lambda image: image.filter(ImageFilter.GaussianBlur(1.5)),
    "mirrored": ImageOps.mirror,
    "mirrored, half, trimmed by 2 %, quality 60": lambda image: saved(
        ImageOps.mirror(scaled(trimmed(image, 0.02, 0.02, 0.02, 0.02), 0.5)), 60
    ),
}


def hashed(image: Image.Image) -> np.ndarray:
    return near.perceptual_hash(np.asarray(image))


def loaded(path: str) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="a folder of photos")
    paths = folders.find([parser.parse_args().data])
    chosen = np.random.default_rng(0).permutation(len(paths))[:COPIED]
    print(f"{len(paths):,} photos, {len(chosen)} of them copied; {datetime.date.today()}, {devices.processor()}\n")
    with ThreadPoolExecutor() as threads:
        hashes = np.stack([*threads.map(lambda path: hashed(loaded(path)), paths)])
        print(f"| copies | found within {near.MOST} | median distance | largest |\n|---|---|---|---|")
        for kind, copy in COPIES.items():
            copies = np.stack([*threads.map(lambda row, copy=copy: hashed(copy(loaded(paths[row]))), chosen)])
            apart = [near.across(hashes[[row]], copies[[k]], most=256)[2].min() for k, row in enumerate(chosen)]
            found = np.mean(np.array(apart) <= near.MOST)
            print(f"| {kind} | {found:.1%} | {np.median(apart):.0f} | {max(apart)} |", flush=True)

    began = time.perf_counter()
    pairs = sorted(
        (int(distance), paths[row], paths[other])
        for row in range(len(paths))
        for _, other, distance in zip(*near.across(hashes[:row], hashes[[row]], most=SHOWN))
    )
    within = sum(distance <= near.MOST for distance, *_ in pairs)
    number = len(paths) * (len(paths) - 1) // 2
    print(f"\n{number:,} pairs of files in {time.perf_counter() - began:.0f} s: {within} nearest within {near.MOST}")
    for distance, path, other in pairs:
        print(distance, path, other)


if __name__ == "__main__":
    main()
