"""The sentences of product reviews that come with the package, from the data of the paper on VADER.

    python benchmarks/reviews_sample.py --data amazonReviewSnippets_GroundTruth.txt --output reviews.csv

The file lies in additional_resources/hutto_ICWSM_2014.tar.gz of the source distribution vaderSentiment 3.3.2. Each line
is a sentence's number (review_sentence), the mean of twenty people's ratings from -4 to 4, and the sentence.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

# Between these the raters did not agree on one side, or saw none.
LEAST = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="amazonReviewSnippets_GroundTruth.txt")
    parser.add_argument("--output", type=Path, required=True, help="the csv to write")
    given = parser.parse_args()
    rows = []
    for line in given.data.read_text("utf-8").splitlines():
        number, rating, sentence = line.split("\t")
        if abs(float(rating)) >= LEAST and sentence.strip():
            rows.append((sentence.strip(), "positive" if float(rating) > 0 else "negative", number.split("_")[0]))
    with open(given.output, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["text", "label", "group"])
        table.writerows(rows)
    print(f"{len(rows):,} of the sentences, {given.output.stat().st_size:,} bytes.")


if __name__ == "__main__":
    main()
