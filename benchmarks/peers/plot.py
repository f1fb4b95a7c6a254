"""One picture of all runs: reports a minute, by how many come at once."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.peers.runs import Run
from benchmarks.peers.table import AT
from benchmarks.peers.who import PEERS

COLOURS = ("#9ec3e6", "#4d8fc7", "#1b5e9b")
_STYLE = {"svg.hashsalt": "peers", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}


def draw(runs: Sequence[Run], file: Path) -> None:
    """Write the picture as SVG, the same bytes for the same runs. A rate that was not reached has no bar."""
    places = np.arange(len(runs))
    height = 0.8 / len(AT)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7, 1.2 + 0.55 * len(runs)), layout="constrained")
        axes = figure.subplots()
        for number, (level, colour) in enumerate(zip(AT, COLOURS, strict=True)):
            rates = [run.rate(level) or np.nan for run in runs]
            name = "alone" if level == 1 else f"{level} at once"
            bars = axes.barh(places + (number - 1) * height, rates, height, color=colour, label=name)
            axes.bar_label(
                bars, [f"{rate:.1f}" if np.isfinite(rate) else "" for rate in rates], padding=2, fontsize=7
            )
        axes.set_yticks(places, [PEERS[run.name].title.replace("`", "") for run in runs])
        axes.invert_yaxis()
        axes.margins(x=0.1)
        axes.set_xlabel("reports a minute")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right")
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
