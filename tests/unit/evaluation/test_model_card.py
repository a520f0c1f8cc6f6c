"""The model card: what is in it is so, and names of the log stay text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from evaluation_cases import MakeWindows
from markdown_it import MarkdownIt
from report_cases import HOSTILE, comparison, hostile, with_intervals

from riskml.core.types import FeatureSpec, Windows
from riskml.evaluation.comparison import Comparison, Finding
from riskml.evaluation.reporting.model_card import model_card
from riskml.evaluation.reporting.numbers import THIN
from riskml.scoring.calibration import P_VALUE
from riskml.scoring.thresholds import DailyBudget

SECTIONS = [
    "The model",
    "Intended use",
    "Not to be used",
    "What it learnt from",
    "How well it does",
    "Threshold and budget of alerts",
    "Calibration",
    "By scenario, role and tenure",
    "Known limits",
    "Ethical notes",
    "Features by family",
    "Versions and hashes",
    "How to load it",
]


@pytest.fixture(scope="module")
def train(make_windows: MakeWindows) -> Windows:
    return make_windows(40, seed=1)


def card(made: Comparison, train: Windows) -> str:
    return model_card(made, train, {"model.safetensors": "e" * 64}).replace(THIN, " ")


def titles(text: str) -> list[str]:
    return [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]


def test_everything_is_in_it(make_windows: MakeWindows, train: Windows) -> None:
    made = with_intervals(comparison(make_windows), {})
    text = card(made, train)
    assert titles(text) == SECTIONS
    value = made.focus.metrics["average_precision"] or 0.0
    ends = f"{value - 0.1:.3f} to {value + 0.05:.3f}"
    assert f"| average_precision | {value:.3f} | {ends} |" in text
    assert f"- events in them: {train.keys['n_events'].sum()}\n" in text
    assert "- windows: 40\n" in text
    assert "- users: 3\n" in text
    assert "- budget: 2 alerts a day\n" in text
    evaluation = made.focus.evaluations[0]
    assert f"- alert from a score of: {evaluation.threshold:.6g}\n" in text
    assert "- afterwards: stays as it is\n" in text
    for digest in ("c" * 64, "d" * 64, f"model.safetensors: {'e' * 64}"):
        assert digest in text
    assert "| volume | 2 | events, minutes |" in text
    assert "One seed" in text
    assert 'riskml.load("bundle")' in text


def test_a_threshold_that_follows_and_goes_by_p_values(
    make_windows: MakeWindows, train: Windows
) -> None:
    made = comparison(make_windows)
    evaluation = made.focus.evaluations[0]
    calibration = evaluation.calibration
    by_p = type(calibration)(
        calibration.knots, calibration.exceedance, calibration.tail_scale, {}, P_VALUE
    )
    scores = calibration.knots.astype("float32")
    keys = evaluation.scores.head(len(scores))
    alerting = DailyBudget(2, max_share=1, adapt=True).start(scores, keys)
    other = replace(evaluation, calibration=by_p, alerting=alerting)
    text = card(replace(made, rows=(replace(made.focus, evaluations=(other,)),)), train)
    assert "- alert from −log10 of the p-value of:" in text
    assert "- afterwards: follows the scores of the days before\n" in text


def test_without_truth_it_claims_nothing(make_windows: MakeWindows, train: Windows) -> None:
    text = card(comparison(make_windows, None), train)
    assert "Measured on the test period" not in text
    assert "The truth is not known" in text
    assert titles(text) == [title for title in SECTIONS if not title.startswith("By scenario")]


def test_refused_figures_are_called_so(make_windows: MakeWindows, train: Windows) -> None:
    made = comparison(make_windows)
    refused = Finding("leak", "refused", "the label is a feature", "focus")
    text = card(replace(made, findings=(refused,)), train)
    assert "**A check refuses these figures: the label is a feature**" in text


def test_names_are_only_text(make_windows: MakeWindows, train: Windows) -> None:
    first, *rest = train.spec.features
    spec = FeatureSpec((replace(first, name=HOSTILE, family=HOSTILE), *rest), train.spec.actions)
    text = model_card(hostile(make_windows), replace(train, spec=spec), {HOSTILE: HOSTILE})
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    found = [t.type for token in parser.parse(text) for t in (token, *(token.children or []))]
    assert not {"html_block", "html_inline", "link_open", "image", "code_inline", "s_open"} & {
        *found
    }
    assert found.count("fence") == 1
    assert len(titles(text)) == len(SECTIONS)
