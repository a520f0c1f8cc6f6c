"""What `riskml` gives to somebody at a notebook."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hydra import compose, initialize_config_dir
from odd_log import HOSTILE, events

import riskml
from riskml.core.errors import BundleError, ConfigError, DataError
from riskml.data.sources import FrameSource
from riskml.export.bundle import Bundle
from riskml.features.extractor import FeatureExtractor
from riskml.interactive.windows import usual_extractor
from riskml.runs.assembly import build_extractor, build_scoring, build_threshold
from riskml.scoring.settings import ScoringSettings
from riskml.scoring.thresholds import DailyBudget

ROOT = Path(__file__).parents[3]


class Tags(HTMLParser):
    """Keeps the names of all elements."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)


def tags(html: str) -> set[str]:
    parser = Tags()
    parser.feed(html)
    return parser.seen


# ---- what is shown


def test_everything_shows_itself_in_short_and_as_html(
    report: riskml.Report, windows: riskml.LogWindows, tmp_path: Path
) -> None:
    bundle = riskml.load(report.export(tmp_path / "bundle"))
    detector = report.detectors["neighbours"]
    alerts = report.alerts
    shown = [windows.log, windows, windows.train, detector, report, alerts, alerts[0], bundle]
    for each in shown:
        text = repr(each)
        assert text.startswith(type(each).__name__) and len(text) < 300, text
        assert "table" in tags(each._repr_html_())  # type: ignore[union-attr]


def test_names_from_the_log_never_become_elements(
    report: riskml.Report, windows: riskml.LogWindows
) -> None:
    alert = report.alerts.of_user(HOSTILE)[0]
    pictures = [report.plot_user(HOSTILE), windows.log.plot_hours("action"), report.plot()]
    cards = [windows.log, windows, windows.train, report, report.alerts, alert, *pictures]
    for each in cards:
        assert not {"script", "b", "i"} & tags(each._repr_html_()), type(each)
    assert "&lt;script&gt;" in alert._repr_html_()


def test_a_detector_says_what_is_not_as_it_comes() -> None:
    training = riskml.TrainingSettings(max_epochs=3)
    detector = riskml.VAEDetector(latent_dim=3, training=training)
    assert repr(detector) == "VAEDetector(latent_dim=3, training=TrainingSettings(max_epochs=3))"
    assert repr(riskml.VAEDetector(latent_dim=8)) == "VAEDetector()"
    assert repr(riskml.PyODDetector("KNN")) == "PyODDetector(algorithm='KNN')"
    assert "not yet" in detector._repr_html_()


def test_a_report_shows_itself_on_a_terminal(
    report: riskml.Report, capsys: pytest.CaptureFixture[str]
) -> None:
    report.show()
    told = capsys.readouterr().out
    assert "neighbours" in told and "usually" in told


# ---- what it finds


def test_the_alerts_are_those_of_the_detector(report: riskml.Report) -> None:
    risk = report.alerts.frame["risk"]
    assert risk.is_sorted(descending=True) and len(risk) == len(report.alerts)
    raised = report.scores.filter(pl.col("alert"))["window_id"]
    assert set(report.alerts.frame["window_id"]) == set(raised)
    assert [alert.risk for alert in report.alerts] == risk.to_list()


def test_an_alert_has_its_reasons_and_its_own_events(report: riskml.Report) -> None:
    for i in (0, -1):
        alert = report.alerts.explain(i)
        assert len(alert.events) == alert.row["n_events"]
        assert alert.events["timestamp"].min() == alert.row["start"]
        assert [reason.text for reason in alert.reasons] == alert.row["reasons"]
        assert str(alert).count("\n") == len(alert.reasons)
    own = report.alerts.of_user(HOSTILE)
    assert {alert.user_id for alert in own} == {HOSTILE}
    with pytest.raises(IndexError, match="there are"):
        report.alerts.explain(len(report.alerts))
    with pytest.raises(TypeError, match="no alert 'u17': give its place"):
        report.alerts.explain("u17")  # type: ignore[arg-type]
    few = report.alerts[1:3]
    assert [str(alert) for alert in few] == [str(report.alerts[i]) for i in (1, 2)]
    with pytest.raises(DataError, match="no alert of user"):
        report.alerts.of_user("nobody")


def test_the_table_has_a_row_a_detector(report: riskml.Report) -> None:
    table = report.table
    assert table["detector"].to_list() == ["neighbours", "<i>pca"]
    middle, low, high = (
        table[f"average_precision{end}"].to_numpy() for end in ("", "_low", "_high")
    )
    assert ((low <= middle) & (middle <= high)).all()
    assert report.metrics["average_precision"] == middle[0]


def test_saved_and_exported_it_scores_the_same(
    report: riskml.Report, windows: riskml.LogWindows, tmp_path: Path
) -> None:
    assert "neighbours" in report.save(tmp_path / "report").read_text()
    assert list((tmp_path / "report" / "plots").glob("*.png"))
    bundle = riskml.load(report.export(tmp_path / "bundle"))
    scores = report.scores["score"].to_numpy()
    np.testing.assert_allclose(bundle.score_windows(windows.test), scores, rtol=1e-5)
    later = events().filter(pl.col("user_id") == "u1").tail(9).drop("label")
    later = later.with_columns(
        pl.col("timestamp") + pl.duration(days=7),
        pl.lit(None, pl.Boolean).alias("success"),
        pl.lit(None, pl.String).alias("source"),
        event_id="user_id",
    )
    assert bundle.score(later)["risk"].is_between(0, 100).all()


def test_an_export_replaces_bundles_and_nothing_else(
    report: riskml.Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = report.save(tmp_path / "report")
    monkeypatch.chdir(tmp_path / "report")
    for place in (tmp_path / "report", saved, Path()):
        with pytest.raises(BundleError, match="holds something else than a bundle"):
            report.export(place)
    assert saved.is_file() and [path.name for path in tmp_path.iterdir()] == ["report"]
    (tmp_path / "bundle").mkdir()
    for _ in range(2):
        riskml.load(report.export(tmp_path / "bundle"))


def test_a_bundle_scores_events_as_people_have_them(bundle: Bundle) -> None:
    later = events().tail(60).with_columns(pl.col("timestamp") + pl.duration(days=7))
    whole = riskml.read_log(events().with_columns(pl.col("timestamp") + pl.duration(days=7)))
    scored = bundle.score(whole.events.tail(60))
    pandas = later.to_pandas()
    pandas["mixed"] = [1, "a"] * 30
    text = later.with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.f%z"))
    for frame in (later, pandas, text):
        assert bundle.score(frame).equals(scored)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda later: later.drop("action"), "no column 'action'"),
        (lambda later: later.rename({"user_id": "user"}), "did you mean 'user'"),
        (lambda later: later.with_columns(user_id=None), "'user_id' is missing in row 0"),
        (
            lambda later: later.with_columns(pl.col("timestamp").dt.replace_time_zone(None)),
            "without its zone in row 0: '2024",
        ),
        (
            lambda later: later.with_columns(
                pl.when(pl.int_range(pl.len()) != 3).then("timestamp").alias("timestamp")
            ),
            "'timestamp' is missing in row 3",
        ),
        (lambda later: later.with_columns(timestamp=pl.lit("soon")), "no time in row 0: 'soon'"),
        (lambda later: later.with_columns(success=pl.lit("soon")), "'success' holds what is not"),
        (lambda later: later.clear(), "no events"),
        (lambda later: later.to_dicts(), r"not list: .*\.events"),
        (riskml.read_log, r"not Log: .*\.events"),
    ],
)
def test_events_that_cannot_be_scored_say_why(
    bundle: Bundle, change: Callable[[pl.DataFrame], object], told: str
) -> None:
    with pytest.raises(DataError, match=told):
        bundle.score(change(events()))


def test_a_fitted_detector_is_not_fitted_again(windows: riskml.LogWindows) -> None:
    detector = riskml.NeighboursDetector(neighbours=3).fit(windows.train)
    before = detector.decision_scores_
    report = riskml.evaluate(detector, windows, resamples=10)
    assert report.name == "NeighboursDetector"
    assert report.detectors[report.name] is detector
    assert detector.decision_scores_ is before
    assert report.metrics["fit_seconds"] is None


def test_what_was_found_of_the_data_is_said_once(report: riskml.Report) -> None:
    found = [(each.trap, each.detector) for each in report.comparison.findings]
    assert len(report.detectors) == 2 and any(detector is None for _, detector in found)
    assert len(found) == len(set(found))


def test_what_is_easily_mixed_up_is_told(windows: riskml.LogWindows) -> None:
    detector: Any = riskml.NeighboursDetector()
    with pytest.raises(DataError, match=r"give one, such as windows\.train"):
        detector.fit(windows)
    with pytest.raises(DataError, match=r"of riskml\.extract, not Windows"):
        riskml.evaluate(detector, windows.train)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"not DataFrame: riskml\.read_log"):
        riskml.extract(events())  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        riskml.read_log("nowhere.csv")
    with pytest.raises(ConfigError, match="tier"):
        riskml.simulate(tier="heavy")
    with pytest.raises(ConfigError, match="must name at least one"):
        riskml.evaluate({}, windows)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: riskml.read_log(events(), defualt_action="x"), "did you mean 'default_action'"),
        (lambda: riskml.read_log(events(), calibraton=0.1), "did you mean 'calibration'"),
        (lambda: riskml.read_log(events(), columns=["who"]), r"columns=.* names by event column"),
        (lambda: riskml.read_log(events(), columns={"user_id": 3}), r"columns\.user_id=3 must be"),
        (lambda: riskml.read_log(events(), time_zone=3), "time_zone=3 must be a word"),
        (lambda: riskml.read_log(events(), test="10"), "test=10 must be a number, not text"),
        (lambda: riskml.read_log(FrameSource(events()), columns={"user_id": "who"}), "to FrameS"),
        (lambda: riskml.simulate(users="20"), "users=20 must be a number, not text"),
        (lambda: riskml.simulate(positiv_rate=0.1), "did you mean 'positive_rate'"),
        (lambda: riskml.simulate(days=30.5), "days=30.5 must be a whole number"),
        (lambda: riskml.VAEDetector(training={"max_epochs": 3}), "must be TrainingSettings"),
        (
            lambda: riskml.TrainingSettings(max_epochs="3"),
            "max_epochs=3 must be a number, not",
        ),
        (lambda: riskml.check_detector(riskml.NeighboursDetector, None), "not the class Neigh"),
    ],
)
def test_a_setting_that_cannot_be_is_named(ask: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        ask()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"detectors": None}, "by name: .* not NoneType"),
        ({"detectors": [riskml.NeighboursDetector()]}, "by name: .* not list"),
        ({"detectors": {"mine": riskml.NeighboursDetector}}, "not the class NeighboursDetector"),
        ({"alerts_per_day": "5"}, "alerts_per_day=5 must be a number, not text"),
        ({"threshold": "daily"}, "threshold=daily must be a rule"),
        ({"scoring": "mean"}, "scoring=mean must be"),
    ],
)
def test_what_cannot_be_evaluated_is_named(
    windows: riskml.LogWindows, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        riskml.evaluate(**{"detectors": riskml.NeighboursDetector(), "windows": windows, **given})
    with pytest.raises(ConfigError, match="novelty=action must be a list"):
        riskml.extract(windows.log, novelty="action")
    with pytest.raises(ConfigError, match="no window '5'"):
        riskml.extract(windows.log, window=5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="rows=0 must be at least 1"):
        windows.log.plot_hours("action", rows=0)
    with pytest.raises(DataError, match="no user 7"):
        windows.plot_user(7)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="windows of all periods"):
        riskml.check_detector(riskml.NeighboursDetector(), windows.test)  # type: ignore[arg-type]


def test_numbers_may_be_those_of_numpy() -> None:
    assert len(riskml.read_log(events(), test=np.int64(10), calibration=np.float32(8)))


@pytest.mark.parametrize("folder", [False, True])
def test_a_file_is_known_by_its_name_or_refused(tmp_path: Path, folder: bool) -> None:
    path = tmp_path / "part.ndjson"
    events().with_columns(pl.col("timestamp").dt.to_string("iso:strict")).write_ndjson(path)
    assert len(riskml.read_log(tmp_path if folder else path)) == len(events())
    events().write_parquet(tmp_path / "part.000")
    assert len(riskml.read_log(tmp_path / "part.000")) == len(events())
    events().write_csv(tmp_path / "access.log")
    with pytest.raises(DataError, match=r"access\.log: .*\.csv.*CsvSource\('access\.log'\)"):
        riskml.read_log(tmp_path / "access.log")
    with pytest.raises(DataError, match=r"not a URL: .*DatabaseSource"):
        riskml.read_log("sqlite:///log.db")


def test_columns_of_pandas_may_hold_values_of_several_types() -> None:
    frame = events().to_pandas().astype({"timestamp": object})
    frame["mixed"] = [1, "a"] * (len(frame) // 2) + [None] * (len(frame) % 2)
    frame.loc[3, "timestamp"] = "soon"
    log = riskml.read_log(frame)
    assert log.rejected.select("row", "rule").rows() == [(4, "unparsable_timestamp")]
    assert log.events["mixed"][:2].to_list() == ["1", "a"]
    with pytest.raises(DataError, match="two columns 'mixed'"):
        riskml.read_log(frame[[*frame, "mixed"]])


# ---- pictures


def test_a_timeline_shows_where_periods_begin(
    windows: riskml.LogWindows, report: riskml.Report
) -> None:
    drawing = windows.plot_user("u1")
    assert len(drawing.figure.axes) == 3, "hours, their colours, events"
    told = [text.get_text() for text in drawing.figure.axes[0].texts]
    assert sorted(told) == ["calibration", "test", "train"]
    assert len(report.plot_user("u1").figure.axes) == 4
    for plot in (windows.plot_user, report.plot_user):
        with pytest.raises(DataError, match="did you mean 'u1'"):
            plot("u11")


def test_hours_are_shares_of_each_row(windows: riskml.LogWindows) -> None:
    (mesh,) = windows.log.plot_hours().figure.axes[0].collections
    shares = np.asarray(mesh.get_array()).reshape(7, 24)
    np.testing.assert_allclose(shares.sum(1), 1)
    assert shares[:, 17:].max() == 0, "nobody works in the evening"
    names = windows.log.plot_hours("user_id", rows=3).figure.axes[0].get_yticklabels()
    assert len(names) == 3
    with pytest.raises(DataError, match="no column 'acton'"):
        windows.log.plot_hours("acton")


def test_hours_are_those_of_the_users_own_clock() -> None:
    log = riskml.read_log(events().with_columns(time_zone=pl.lit("Asia/Tokyo")))
    figure = log.plot_hours().figure
    (mesh,) = figure.axes[0].collections
    shares = np.asarray(mesh.get_array()).reshape(7, 24)
    assert shares[:, 17:].sum() > 5, "nine hours later"
    assert "own clock" in figure.axes[0].get_xlabel()


def test_pictures_are_asked_for_by_name(report: riskml.Report) -> None:
    assert report.plot("precision_recall").alt.startswith("Precision")
    with pytest.raises(ConfigError, match="did you mean 'recall_by_budget'"):
        report.plot("recall_by_bugdet")


# ---- logs


def test_a_frame_and_its_file_are_the_same_log(tmp_path: Path) -> None:
    frame = events()
    frame.write_csv(tmp_path / "log.csv")
    frame.write_parquet(tmp_path / "log.parquet")
    frame.write_ndjson(tmp_path / "log.jsonl")
    paths = [tmp_path / f"log.{suffix}" for suffix in ("csv", "parquet", "jsonl")]
    logs = [riskml.read_log(each) for each in (frame, frame.to_pandas(), *paths, str(paths[0]))]
    columns = ["user_id", "timestamp", "action", "resource", "period"]
    for log in logs:
        assert log.events.select(columns).equals(logs[0].events.select(columns))
        assert log.truth is not None and "label" not in log.events.columns
        assert log.truth["label"].sum() == frame["label"].sum()


def test_columns_have_other_names_and_rows_may_be_bad() -> None:
    frame = events().rename({"user_id": "who"}).with_columns(pl.col("timestamp").cast(pl.String))
    bad = frame.with_columns(
        timestamp=pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise("timestamp")
    )
    log = riskml.read_log(bad, columns={"user_id": "who"}, time_zone="UTC")
    assert len(log) == len(frame) - 1
    assert log.rejected["row"].to_list() == [4]
    assert "rejected 1 row," in repr(log)


@pytest.mark.parametrize("nothing", [7, [1, 2], None])
def test_what_is_no_log_is_refused(nothing: object) -> None:
    with pytest.raises(DataError, match="a log is a path, or a Polars"):
        riskml.read_log(nothing)


def test_a_simulated_log_is_the_same_again() -> None:
    one, again = (riskml.simulate(users=20, days=21, seed=3) for _ in range(2))
    assert one.dataset.fingerprint == again.dataset.fingerprint
    assert one.truth is not None
    assert one.suits["peers"] == "role"


# ---- the same as the commands


def described(extractor: FeatureExtractor) -> dict[str, Any]:
    return {
        "window": (extractor.window.kind, extractor.window.settings()),
        "families": [(family.name, family.settings()) for family in extractor.families],
        "peers": extractor.peers.settings(),
        "rest": (
            extractor.max_tokens,
            extractor.event_times,
            extractor.time_zone,
            extractor.lateness,
            extractor.vocabulary.min_count,
        ),
    }


@pytest.mark.parametrize("window", ["user_day", "session", "block"])
@pytest.mark.parametrize("data", ["simulated", "csv"])
def test_features_and_rules_are_those_of_the_configs(window: str, data: str) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        wanted = [f"features={window}", f"data={data}"]
        cfg = compose("train", [*wanted, "+path=log.csv"] if data == "csv" else wanted)
    suits = riskml.simulate(users=20, days=21).suits if data == "simulated" else {}
    assert described(usual_extractor(window, **suits)) == described(build_extractor(cfg.features))
    rule = DailyBudget(5.0, adapt=True)
    assert vars(build_threshold(cfg.threshold)) == vars(rule)
    assert build_scoring(cfg.scoring) == ScoringSettings()


def test_there_are_but_three_kinds_of_windows() -> None:
    with pytest.raises(ConfigError, match=re.escape("no window 'day'")):
        usual_extractor("day")
