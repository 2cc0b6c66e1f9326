"""Times of a log as numbers: what counts as one, and dates in seconds since 1970."""

from __future__ import annotations

import polars as pl


def are_numbers(times: pl.Series) -> pl.Series:
    """Which times are numbers, as text."""
    return times.cast(pl.Float64, strict=False).is_finite().fill_null(False)


def seconds(times: pl.Series) -> pl.Series:
    """Times of numbers or of dates as float64, dates in seconds since 1970; null where it is neither.

    Example:
        >>> seconds(pl.Series(["12.5", "1970-01-02", "1970-01-01 01:00:00+01:00", "soon"])).to_list()
        [12.5, 86400.0, 0.0, None]
    """
    numbers = times.cast(pl.Float64, strict=False).set(~are_numbers(times), None)
    if not numbers.null_count():
        return numbers
    day = "%Y-%m-%d"
    # By itself %Y takes 15 of 15-03-23 for a year.
    times = times.str.extract(r"^\s*(\d{4}-.*)$")
    # A time stands behind a T or a space, and what it is in may follow: Z, UTC, GMT, +01:00, or PostgreSQL's +01.
    times = times.str.replace(r"^(\d+-\d+-\d+) +", "${1}T").str.replace(r"\s*(Z|UTC|GMT)$", "").str.replace(" ", "")
    times = times.str.replace(r"(T[\d:.]+[+-]\d\d)$", "${1}00")
    for pattern in (f"{day}T%H:%M:%S%.f", f"{day}T%H:%M", f"{day}T%H:%M:%S%.f%z", f"{day}T%H:%M%z", day):
        if pattern == day:
            dates = times.str.to_date(pattern, strict=False).cast(pl.Datetime("us"))
        else:
            dates = times.str.to_datetime(pattern, strict=False, time_unit="us")
        numbers = numbers.fill_null(dates.to_physical().cast(pl.Float64) / 1e6)
    return numbers
