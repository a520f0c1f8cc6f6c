"""`riskml report`: what is asked wrongly, and what is not installed, is said in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from riskml.alerting.alert_log import AlertLog
from riskml.cli import main


@pytest.fixture
def url(tmp_path: Path) -> str:
    place = f"sqlite:///{tmp_path}/alerts.db"
    AlertLog(place).migrate()
    return place


def report(url: str, out: Path, *more: str) -> Result:
    words = ["report", "--log", url, "--out", str(out), "--period", "week", *more]
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--names",), "--names needs --who and --why"),
        (("--names", "--who", " ", "--why", "x"), "--names needs --who and --why"),
        (("--ending", "2999-01-01"), "--ending 2999-01-01 is yet to come"),
        (("--who", "kim"), "give --names, too"),
        (("--email", "a@a.example"), "--email needs --channels FILE"),
        (("--scores", "nowhere"), "--scores nowhere: no scores there"),
        (("--drift", "no.json"), "--drift no.json: No such file"),
        (("--channels", "no.yaml", "--email", "a@a.example"), "--channels no.yaml"),
    ],
)
def test_wrong_input_is_one_line(
    url: str, tmp_path: Path, more: tuple[str, ...], told: str
) -> None:
    done = report(url, tmp_path / "out", *more)
    assert done.exit_code == 2
    [line] = [line for line in done.output.splitlines() if line.startswith("error: ")]
    assert told in line
    assert not (tmp_path / "out").exists()


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    done = report(f"sqlite:///{tmp_path}/no.db", tmp_path)
    assert done.exit_code == 2 and "riskml alerts init makes it" in done.output


def test_html_alone_needs_no_weasyprint(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    ending = ("--ending", "2024-05-12")
    done = report(url, tmp_path / "out", *ending)
    assert done.exit_code == 2
    assert "pip install 'riskml[report]', or make HTML alone with --html-only" in done.output
    done = report(url, tmp_path / "out", *ending, "--html-only")
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["risk-week-2024-05-12.en.html"]


def test_a_full_disk_leaves_the_report_of_before(url: str, tmp_path: Path) -> None:
    words, file = ("--ending", "2024-05-12", "--html-only"), "risk-week-2024-05-12.en.html"
    assert report(url, tmp_path, *words).exit_code == 0
    before = (tmp_path / file).read_bytes()
    (tmp_path / f"{file}.draft").symlink_to("/dev/full")
    done = report(url, tmp_path, *words)
    assert done.exit_code == 2
    assert f"error: {tmp_path / file}: No space left on device" in done.output
    assert (tmp_path / file).read_bytes() == before


def test_where_scores_are_may_come_from_the_environment(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKML_ALERTS_FROM", str(tmp_path / "nowhere"))
    done = report(url, tmp_path / "out", "--html-only")
    assert done.exit_code == 2 and "nowhere: no scores there" in done.output


def test_several_channels_that_could_send(url: str, tmp_path: Path) -> None:
    mail = "{kind: email, host: a.example, sender: r@a.example, to: [d@a.example], tls: none}"
    file = tmp_path / "channels.yaml"
    file.write_text(f"channels:\n  desk: {mail}\n  board: {mail}\n")
    to = ("--channels", str(file), "--email", "a@a.example")
    assert "has several: say which with --via" in report(url, tmp_path, *to).output
    told = report(url, tmp_path, *to, "--via", "bord").output
    assert "did you mean 'board'?" in told
