"""The solver of the baseline on words: how soon, and how near to the least loss, each of scikit-learn's comes.

python benchmarks/sst2_sentences.py --data sst2/train.tsv --output sst2_sentences
python benchmarks/words_baseline.py --data sst2_sentences
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from kerasuite.data import text_sources
from kerasuite.evaluation import tfidf

SOLVERS = (("lbfgs", 1e-3), ("lbfgs", 1e-6), ("newton-cg", 1e-6))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of train.tsv and test.tsv")
    source = text_sources.text_splits([str(parser.parse_args().data)])
    texts, labels, held_out = source.train.inputs["text"], source.train.labels, source.test
    vectorizer = tfidf._vectorizer(min_df=2, max_features=tfidf.MOST_FEATURES)
    features, others = vectorizer.fit_transform(texts), vectorizer.transform(held_out.inputs["text"])
    print(f"{features.shape[0]:,} texts of {features.shape[1]:,} terms; tested on {others.shape[0]:,}")
    print("| C | solver, tolerance | seconds | loss on train | accuracy |")
    for inverse_penalty in (1.0, 4.0, 16.0):
        for solver, tolerance in SOLVERS:
            begun = time.perf_counter()
            fitted = LogisticRegression(C=inverse_penalty, solver=solver, tol=tolerance, max_iter=1000)
            fitted.fit(features, labels)
            seconds = time.perf_counter() - begun
            margins = (2 * labels - 1) * fitted.decision_function(features)
            penalty = np.sum(fitted.coef_**2) / (2 * inverse_penalty)
            loss = (np.logaddexp(0, -margins).sum() + penalty) / len(labels)
            accuracy = fitted.score(others, held_out.labels)
            print(f"| {inverse_penalty:g} | {solver}, {tolerance:g} | {seconds:.1f} | {loss:.5f} | {accuracy:.4f} |")


if __name__ == "__main__":
    main()
