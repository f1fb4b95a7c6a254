"""Pictures as SVG text that stands inside an HTML page: no file, no network, no script."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

BLUE, GREY = "#1b5e9b", "#767676"
_STYLE = {"svg.hashsalt": "eval", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Any, list[str]]]:
    """Draw on a figure; its SVG comes out in the list."""
    svg: list[str] = []
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure.subplots(), svg
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    body = written.getvalue()
    body = re.sub(r"<metadata>.*?</metadata>", "", body[body.index("<svg") :], flags=re.DOTALL)
    svg.append(re.sub(r'<g id="[^"]*"', "<g", body))


def confusion(labels: Sequence[str], columns: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Gold down, answers across; a row's colours are shares of that gold label."""
    table = np.array(counts, dtype=float)
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    size = max(3.0, 0.42 * len(labels) + 1.6)
    with _figure(size, size) as (axes, svg):
        axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1)  # an image would be a PNG inside the SVG
        axes.invert_yaxis()
        axes.set_aspect("equal")
        axes.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=60, ha="right")
        axes.set_yticks(np.arange(len(labels)) + 0.5, labels)
        axes.set_xlabel("answered")
        axes.set_ylabel("gold")
        for i, j in zip(*np.nonzero(table), strict=True):
            colour = "white" if shares[i, j] > 0.55 else "black"
            axes.text(j + 0.5, i + 0.5, f"{table[i, j]:.0f}", ha="center", va="center", color=colour)
    return svg[0]


def reliability(bins: Sequence[Mapping[str, float]]) -> str:
    """Accuracy against confidence; a dot's area is its bin's share of the answers."""
    with _figure(3.4, 3.2) as (axes, svg):
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
        x, y = [one["confidence"] for one in bins], [one["accuracy"] for one in bins]
        total = sum(one["n"] for one in bins)
        axes.plot(x, y, color=BLUE, linewidth=1)
        axes.scatter(x, y, s=[15 + 150 * one["n"] / total for one in bins], color=BLUE)
        axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="probability given", ylabel="share right")
    return svg[0]


def risk_coverage(points: Sequence[Mapping[str, float]], allowed: float) -> str:
    """The share of errors among the answers kept, as fewer and fewer are sent to review."""
    with _figure(3.4, 3.2) as (axes, svg):
        axes.axhline(allowed, color=GREY, linestyle="--", linewidth=1)
        axes.plot(
            [p["coverage"] for p in points], [p["risk"] for p in points], color=BLUE, drawstyle="steps-post"
        )
        top = max([2 * allowed, *(1.1 * p["risk"] for p in points)])
        axes.set(xlim=(0, 1.03), ylim=(0, top), xlabel="share of answers kept", ylabel="share of them wrong")
    return svg[0]
