"""Which words of a text moved a prediction: each is left out once, and the model asked again."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars

from kerasuite.evaluation.drawing import COLOURS, drawing, literal, single_axes
from kerasuite.scripts import WORD

MOST_WORDS = 60
# What follows is left away, since each word asks for a copy of the text: few encoders read as far.
MOST_CHARACTERS = 2**16
_LINE = 112
# An effect as small as this is not shown as if it were large, where a text has no larger.
_SMALL = 0.05

Probabilities = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Moved:
    """One text's words, and by how much each raises the probability of what the model said.

    Args:
        words: those at the beginning, if there are many.
        effects: float array: the probability with the word less that without it.
    """

    words: list[str]
    effects: np.ndarray


def occlusion(texts: Sequence[str], classes: np.ndarray, probabilities: Probabilities) -> list[Moved]:
    """Leave out each word of each text once.

    Args:
        texts: strings.
        classes: int array (n,), whose probability is looked at.
        probabilities: from texts to float (n, classes).

    Source: Li, Monroe and Jurafsky (2016), Understanding neural networks through representation erasure,
    arXiv:1612.08220.

    Example:
        >>> says = lambda texts: np.array([[0.2, 0.8] if "good" in text else [0.9, 0.1] for text in texts])
        >>> occlusion(["so good"], np.array([1]), says)[0].effects.round(2).tolist()
        [0.0, 0.7]
    """
    texts = [text[:MOST_CHARACTERS] for text in texts]
    spans = [[match.span() for match in re.finditer(WORD, text)][:MOST_WORDS] for text in texts]
    asked = [
        text[:start] + text[end:] for text, own in zip(texts, spans) for start, end in [(len(text), len(text)), *own]
    ]
    said, found, at = probabilities(asked), [], 0
    for text, own, label in zip(texts, spans, classes):
        whole, *without = said[at : at + len(own) + 1, label]
        found.append(Moved([text[start:end] for start, end in own], whole - np.array(without)))
        at += len(own) + 1
    return found


@dataclass
class WordsDisplay:
    """Texts with each word coloured by what it did: blue for what the model said, orange against.

    Args:
        moved: one a text.
        captions: one a text.
    """

    moved: Sequence[Moved]
    captions: Sequence[str]

    def frame(self) -> polars.DataFrame:
        """One row a word: the text's caption, the word, its effect."""
        rows = [
            (caption, word, float(effect))
            for caption, text in zip(self.captions, self.moved)
            for word, effect in zip(text.words, text.effects)
        ]
        return polars.DataFrame(
            rows, schema={"text": polars.String, "word": polars.String, "effect": polars.Float64}, orient="row"
        )

    def plot(self, ax: Any = None) -> WordsDisplay:
        """Draw each text below its caption; its strongest word has the full colour."""
        lines = [_lines(text.words) for text in self.moved]
        height = sum(len(each) + 1.6 for each in lines)
        with drawing(ax, (9.0, 0.27 * height + 0.2)) as place:
            ax = single_axes(place)
            ax.axis("off")
            ax.set(xlim=(0, _LINE), ylim=(height, 0))
            y = 0.6
            for text, caption, wrapped in zip(self.moved, self.captions, lines):
                ax.text(0, y, literal(caption, 110), fontsize=9, fontweight="bold", va="center")
                for line in wrapped:
                    y += 1
                    self._plot_line(ax, y, line, text)
                y += 1.6
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _plot_line(self, ax: Any, y: float, line: list[int], text: Moved) -> None:
        x, strongest = 0, np.abs(text.effects).max(initial=_SMALL)
        for position in line:
            word, effect = text.words[position], float(text.effects[position])
            colour = COLOURS[5] if effect > 0 else COLOURS[4]
            share = abs(effect) / strongest
            box = {"facecolor": colour, "alpha": share, "edgecolor": "none", "boxstyle": "square,pad=0.15"}
            ax.text(x, y, literal(word, _LINE), fontsize=9, family="monospace", va="center", bbox=box)
            x += _width(word) + 1


def _width(word: str) -> int:
    """Places of a word in a line: characters of Chinese, Japanese and Korean take two."""
    return min(sum(1 + (ord(letter) > 0x2E7F) for letter in word), _LINE)


def _lines(words: Sequence[str]) -> list[list[int]]:
    """Positions of the words line by line."""
    lines, width = [[]], 0
    for position, word in enumerate(words):
        if lines[-1] and width + _width(word) > _LINE:
            lines.append([])
            width = 0
        lines[-1].append(position)
        width += _width(word) + 1
    return lines
