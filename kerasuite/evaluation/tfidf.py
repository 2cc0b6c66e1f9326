"""What an encoder of texts must beat: logistic regression on which words, and pairs of words, a text has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasuite import scripts

MOST_FEATURES = 100_000
# Words times classes: scikit-learn's optimiser keeps 25 numbers for each of them.
MOST_COEFFICIENTS = 5_000_000
_TOKEN = scripts.plain_word("40")


@dataclass(frozen=True)
class TfidfLogisticRegression:
    """Logistic regression with an L2 penalty on TF-IDF of words and pairs of words, those that two texts have.

    Of many classes the number of words is less: memory has a bound.

    Args:
        terms: array of str (d,); idf: float array (d,).
        coefficients: float array (d, num_classes); a class absent from train has zeros.
        intercepts: float array (num_classes,); a class absent from train has -inf, which is probability 0.
        multi_label: each class is a question of its own, yes or no.

    Source: term frequencies in logarithms, as Joulin et al. (2016), arXiv:1607.01759, and Wang and Manning (2012),
    Baselines and bigrams, recommend linear models on bigrams as the ones to beat.

    Example:
        >>> texts = np.array(["good film", "good", "bad film", "bad"], object)
        >>> model = TfidfLogisticRegression.fit(texts, np.array([1, 1, 0, 0]), 2)
        >>> model.probabilities(np.array(["a good one", "so bad"], object)).argmax(1).tolist()
        [1, 0]
    """

    terms: np.ndarray
    idf: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray
    multi_label: bool = False

    @classmethod
    def fit(
        cls, texts: np.ndarray, labels: np.ndarray, num_classes: int, *, inverse_penalty: float = 4.0
    ) -> TfidfLogisticRegression:
        """Fit on train: texts (n,), labels int (n,), or 0 and 1 (n, classes) where a text may be of several."""
        most = min(MOST_FEATURES, max(1, MOST_COEFFICIENTS // num_classes))
        vectorizer = _vectorizer(min_df=2 if len(texts) > 100 else 1, max_features=most)
        try:
            features = vectorizer.fit_transform(texts)
        except ValueError:
            # Nothing in the texts is a word that two have. A term that no text has stands for those that there are not.
            vectorizer = _vectorizer(vocabulary=[""])
            vectorizer.idf_ = np.ones(1)
            features = vectorizer.transform(texts)
        coefficients, intercepts = np.zeros((features.shape[1], num_classes)), np.full(num_classes, -np.inf)
        terms, idf = vectorizer.get_feature_names_out().astype(str), vectorizer.idf_
        if labels.ndim == 2:
            for k in np.flatnonzero(labels.any(axis=0)):
                if labels[:, k].all():
                    intercepts[k] = np.inf
                    continue
                fitted = _optimised(features, labels[:, k], inverse_penalty)
                coefficients[:, k], intercepts[k] = fitted.coef_[0], fitted.intercept_[0]
            return cls(terms, idf, coefficients, intercepts, multi_label=True)
        present = np.unique(labels)
        intercepts[present] = 0.0
        if len(present) > 1:
            fitted = _optimised(features, labels, inverse_penalty)
            # For two classes scikit-learn keeps only the second's row: the first's are zeros.
            coefficients[:, present[-len(fitted.coef_) :]] = fitted.coef_.T
            intercepts[present[-len(fitted.intercept_) :]] = fitted.intercept_
        return cls(terms, idf, coefficients, intercepts)

    def probabilities(self, texts: np.ndarray) -> np.ndarray:
        """Softmax of the linear scores, or of several labels the sigmoid of each: float array (n, num_classes)."""
        vectorizer = _vectorizer(vocabulary=self.terms.tolist())
        vectorizer.idf_ = self.idf
        logits = vectorizer.transform(texts) @ self.coefficients + self.intercepts
        if self.multi_label:
            return 1 / (1 + np.exp(-logits))
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)


def _optimised(features: Any, labels: np.ndarray, inverse_penalty: float) -> Any:
    """scikit-learn's logistic regression, at the least loss that there is: a weak baseline would flatter the model.

    Newton's steps come there in 1.1 s on 32,352 texts, half of SST-2, where L-BFGS takes 24 s, or with a tolerance of
    1e-3 stops after 6.7 s, 1.2 points of accuracy short (benchmarks/words_baseline.py, C = 4, two cores of an EPYC).
    """
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=inverse_penalty, solver="newton-cg", tol=1e-6, max_iter=100).fit(features, labels)


def _vectorizer(**options: Any):
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=_TOKEN, **options)
