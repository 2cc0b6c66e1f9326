"""What all pictures share: colours, fonts, axes to draw on, and PNG bytes. matplotlib is imported inside."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

# Okabe and Ito (2008), Color universal design: apart for every kind of colour blindness. Without the yellow, which is
# hard to see on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":")
# Where the usual font lacks a letter, the first of these that has it is taken.
CHINESE_JAPANESE_KOREAN = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans GB",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
)
STYLE = {
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "lines.linewidth": 1.8,
    "savefig.facecolor": "white",
}


def line_style(position: int) -> dict[str, str]:
    """A colour and dash pattern; no two of the first 21 are the same.

    >>> line_style(0), line_style(7)
    ({'color': '#0072B2', 'linestyle': '-'}, {'color': '#0072B2', 'linestyle': '--'})
    """
    return {"color": COLOURS[position % len(COLOURS)], "linestyle": DASHES[position // len(COLOURS) % len(DASHES)]}


def literal(text: object, longest: int = 28) -> str:
    """A name as matplotlib will show it: on one line, shortened, and a $ is a $ and not the start of a formula.

    >>> print(literal("cost_$5_to_$9"), literal("a very long class name, word by word", 12))
    cost_\\$5_to_\\$9 a very long…
    """
    name = " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())
    if len(name) > longest:
        name = name[: longest - 1].rstrip() + "…"
    return name.replace("$", r"\$")


@contextmanager
def drawing(ax: Any, size: tuple[float, float]) -> Iterator[Any]:
    """The place to draw on, with the suite's style: yields the axes that were given, or a figure to put axes on.

    Args:
        ax: matplotlib Axes; or a Figure to fill; or None for a new pyplot figure, which a notebook shows by itself.
        size: width and height in inches, of a figure; given axes keep theirs.
    """
    import matplotlib
    from matplotlib.figure import FigureBase

    with matplotlib.rc_context(STYLE | {"font.family": _families()}):
        if ax is None:
            import matplotlib.pyplot as plt

            yield plt.figure(figsize=size, layout="constrained")
        else:
            if isinstance(ax, FigureBase) and hasattr(ax, "set_size_inches"):
                ax.set_size_inches(size)
            yield ax


def _families() -> list[str]:
    """The fonts to look for a letter in. Only those installed: matplotlib complains of each that is not."""
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return ["sans-serif", *(name for name in CHINESE_JAPANESE_KOREAN if name in installed)]


def single_axes(place: Any) -> Any:
    """The axes themselves, or new ones that fill the figure."""
    from matplotlib.axes import Axes

    return place if isinstance(place, Axes) else place.subplots()


def png(display: Any, *, dpi: int = 110, **options: Any) -> bytes:
    """The PNG of a display, drawn without pyplot: no window, no figure left open, any thread.

    Args:
        display: an object with `plot(ax, **options)`.
        dpi: pixels an inch.
        options: handed to its plot().
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    display.plot(figure, **options)
    buffer = io.BytesIO()
    with _one_warning_about_letters():
        # No software version inside: the same numbers give the same bytes.
        figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


@contextmanager
def _one_warning_about_letters() -> Iterator[None]:
    """One warning a process, where matplotlib has one for each letter of each picture that no font has."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if "missing from font" in str(warning.message):
            _warn_about_letters()
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


@cache
def _warn_about_letters() -> None:
    warnings.warn(
        "Some letters of the names are in no font that is installed here: the pictures show boxes in their place. "
        "For Chinese, Japanese and Korean install Noto Sans CJK (on Debian and Ubuntu the package fonts-noto-cjk).",
        stacklevel=2,
    )
