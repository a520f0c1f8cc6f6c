"""Both languages say everything, with the same fields."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

import riskml.reporting
from riskml.alerting.states import AlertState, Severity
from riskml.features.actions import RESERVED, ActionVocabulary
from riskml.features.extractor import FAMILIES
from riskml.reporting.periods import Length
from riskml.reporting.scenarios import COMPARED, scenario
from riskml.reporting.suppressed import RULES
from riskml.reporting.words import LANGUAGES, Phrase, Words, phrases

ROOM = Path(riskml.reporting.__file__).parent
HANGUL = re.compile("[가-힣]")

MADE = {
    *(f"title_{each}" for each in Length),
    *(f"severity_{each}" for each in Severity),
    *(f"state_{each}" for each in AlertState),
    *(f"rule_{each}" for each in RULES),
    *(
        f"term_{each}{end}"
        for each in ("window", "risk", "alert", "verdict", "times")
        for end in ("", "_is")
    ),
    "role_champion",
    "role_challenger",
}
"""Keys that code puts together; those of scenarios, columns and reasons are looked up by name."""


def fields(phrase: Phrase) -> set[str]:
    texts = [phrase] if isinstance(phrase, str) else list(phrase.values())
    found = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in texts]
    return set().union(*found)


@pytest.mark.parametrize("key", phrases())
def test_every_language_has_every_phrase(key: str) -> None:
    said = phrases()[key]
    assert set(said) == set(LANGUAGES)
    assert fields(said["en"]) == fields(said["ko"])
    text = said["ko"]
    assert isinstance(text, str), "Korean has no plural forms"
    bare = re.sub(r"\{\w+\}", "", text)
    assert HANGUL.search(bare) or not re.search("[a-z]", bare), "not translated"


def test_code_and_table_have_the_same_keys() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in ROOM.glob("*.py"))
    asked = set(re.findall(r'"([a-z][a-z_]+)"', code)) | MADE
    by_name = ("scenario_", "column_", "set_apart_")
    unused = {key for key in phrases() if not key.startswith(by_name)} - asked
    assert not unused
    called = set(re.findall(r'words\("([a-z_]+)"', code)) | MADE
    assert not called - set(phrases())


def test_plural_forms_and_numbers() -> None:
    en, ko = Words("en"), Words("ko")
    assert en("attention_days", n=1, days="6 May").startswith("On 1 day no")
    assert en("attention_days", n=2, days="6 May").startswith("On 2 days no")
    assert "2일" in ko("attention_days", n=2, days="5월 6일")
    assert [en.number(1234567), en.change(-3), en.change(0), en.percent(0.004)] == [
        "1,234,567",
        "−3",
        "±0",
        "0.4%",
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_feature_has_a_scenario(language: str) -> None:
    vocabulary = ActionVocabulary()
    vocabulary.actions = (*RESERVED, "delete")
    words, before = Words(language), []
    for kind in FAMILIES.values():
        made = kind().features(vocabulary, before)
        before = before + made
    for feature in before:
        text = scenario(feature.topic, words)
        assert text and "_" not in text.replace("*", ""), feature.topic
        assert not text.startswith(words("scenario_other", what="")), feature.topic
    assert scenario("no such thing", words) == words("scenario_other", what="no such thing")
    assert {start.rstrip("_") for start in COMPARED} == {
        key.removeprefix("scenario_")
        for key in phrases()
        if key in {f"scenario_{start.rstrip('_')}" for start in COMPARED}
    }
