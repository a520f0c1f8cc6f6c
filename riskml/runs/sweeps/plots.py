"""The pictures of a sweep, as HTML to point at and as PNG: optuna.visualization draws them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from optuna import visualization
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study
from optuna.trial import TrialState

matplotlib.use("agg")

QUALITY = "quality (mean rank)"
SECONDS = "seconds to score 1,000 windows"


def save_sweep_plots(ranked: Study, both: Study, folder: Path) -> list[str]:
    """Draw history, importance, parallel coordinates and the Pareto front.

    Args:
        ranked: values are qualities.
        both: values are qualities and seconds.
        folder: is made where missing.

    Returns:
        Which could not be drawn and why, lines for people.
    """
    folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    names = {"target_name": QUALITY}
    front = {"target_names": [QUALITY, SECONDS]}
    plots: dict[str, tuple[str, Study, dict[str, Any]]] = {
        "history": ("plot_optimization_history", ranked, names),
        "importance": ("plot_param_importances", ranked, names),
        "parallel_coordinates": ("plot_parallel_coordinate", ranked, names),
        "pareto": ("plot_pareto_front", both, front),
    }
    complete = ranked.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < 2:
        return [f"too few trials are complete ({len(complete)}) for plots"]
    problems = []
    for name, (function, study, arguments) in plots.items():
        try:
            with warnings.catch_warnings(action="ignore"):
                _draw(function, study, arguments, folder / name)
        except (ValueError, RuntimeError) as error:
            problems.append(f"no plot of {name}: {' '.join(str(error).split())}")
    return problems


def _draw(function: str, study: Study, arguments: dict[str, Any], path: Path) -> None:
    """One plot in both forms."""
    warnings.simplefilter("ignore", ExperimentalWarning)
    figure = getattr(visualization, function)(study, **arguments)
    # the script is put beside the pages once, so that they open without a network
    figure.write_html(path.with_suffix(".html"), include_plotlyjs="directory")
    draw: Callable[..., Any] = getattr(visualization.matplotlib, function)
    import matplotlib.pyplot as plt

    axes = draw(study, **arguments)
    drawn = axes.figure if hasattr(axes, "figure") else axes.ravel()[0].figure
    drawn.set_size_inches(10, 6)
    drawn.savefig(path.with_suffix(".png"), dpi=120, bbox_inches="tight")
    plt.close(drawn)
