"""The CERT folder layout, as release 4.2 and as later ones write it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from log_files import utc
from record_files import check_batches, rules

from riskml.core.errors import ConfigError, DataError
from riskml.data.mappings.cert import CertSource

FILES = {
    "logon": "id,date,user,pc,activity\n"
    "{L1},01/04/2010 08:00:00,ANN0001,PC-1,Logon\n"
    "{L2},01/04/2010 17:00:00,ANN0001,PC-1,Logoff\n"
    "{L3},02/01/2010 08:00:00,DTAA/BOB0002,PC-2,Logon\n"
    "{L4},02/30/2010 08:00:00,BOB0002,PC-2,Logon\n",
    "device": "id,date,user,pc,activity\n{D1},01/04/2010 09:00:00,ANN0001,PC-1,Connect\n",
    "file": "id,date,user,pc,filename,content\n"
    '{F1},01/04/2010 09:05:00,ANN0001,PC-1,A1.doc,"D0-CF, and\nmore"\n',
    "email": "id,date,user,pc,to,cc,bcc,from,size,attachments,content\n"
    "{E1},01/04/2010 10:00:00,ANN0001,PC-1,bob@dtaa.com;x@y.com,,,ann@dtaa.com,25830,0,text\n",
    "http": "id,date,user,pc,url,content\n"
    "{H1},01/04/2010 08:30:00,ANN0001,PC-1,http://wikileaks.org/a/b.php?c=d,words\n"
    "{H2},02/02/2010 09:00:00,BOB0002,PC-2,https://example.org,words\n"
    "{H3},02/03/2010 09:00:00\n",
}
PEOPLE = "employee_name,user_id,email,role,business_unit,department,supervisor\n"
INSIDERS = (
    "dataset,scenario,details,user,start,end\n"
    "4.2,1,r4.2-1-ANN0001.csv,ANN0001,01/04/2010 08:30:00,01/04/2010 09:05:00\n"
    "4.2,2,r4.2-2-BOB0002.csv,BOB0002,02/02/2010 00:00:00,02/28/2010 00:00:00\n"
    "3.1,1,r3.1-1.csv,ANN0001,01/01/2010 00:00:00,12/31/2010 00:00:00\n"
)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "r4.2"
    (folder / "LDAP").mkdir(parents=True)
    for name, text in FILES.items():
        (folder / f"{name}.csv").write_text(text)
    (folder / "LDAP" / "2010-01.csv").write_text(
        PEOPLE + "Ann,ANN0001,a@dtaa.com,Engineer,1,2 - Research,Eve\n"
    )
    (folder / "LDAP" / "2010-02.csv").write_text(
        PEOPLE
        + "Ann,ANN0001,a@dtaa.com,Manager,1,3 - Sales,Eve\n"
        + "Bob,BOB0002,b@dtaa.com,ITAdmin,1,4 - IT,Eve\n"
    )
    answers = tmp_path / "answers"
    (answers / "r4.2-1").mkdir(parents=True)
    (answers / "insiders.csv").write_text(INSIDERS)
    (answers / "r4.2-1" / "r4.2-1-ANN0001.csv").write_text(
        "http,{H1},01/04/2010 08:30:00,ANN0001,PC-1,http://wikileaks.org\n"
        'file,{F1},01/04/2010 09:05:00,ANN0001,PC-1,A1.doc,"D0\nmore"\n'
    )
    return folder


def test_events_of_all_files(release: Path) -> None:
    log = check_batches(CertSource(release, max_rejected_share=0.5), 3)
    columns = ("event_id", "user_id", "action", "resource", "source", "role", "department")
    ann = ("Engineer", "2 - Research")
    bob = ("ITAdmin", "4 - IT")
    assert log.events.select(columns).rows() == [
        ("{L1}", "ANN0001", "logon", None, "PC-1", *ann),
        ("{H1}", "ANN0001", "www_visit", "wikileaks.org", "PC-1", *ann),
        ("{D1}", "ANN0001", "device_connect", None, "PC-1", *ann),
        ("{F1}", "ANN0001", "file_copy", "A1.doc", "PC-1", *ann),
        ("{E1}", "ANN0001", "email_send", "bob@dtaa.com;x@y.com", "PC-1", *ann),
        ("{L2}", "ANN0001", "logoff", None, "PC-1", *ann),
        ("{L3}", "BOB0002", "logon", None, "PC-2", *bob),
        ("{H2}", "BOB0002", "www_visit", "example.org", "PC-2", *bob),
    ]
    assert log.events["timestamp"][0] == utc(2010, 1, 4, 8)
    assert "content" not in log.events.columns
    assert rules(log) == [
        ("http.csv", 4, "too_few_fields"),
        ("logon.csv", 5, "unparsable_timestamp"),
    ]


def test_the_truth(release: Path) -> None:
    log = CertSource(release, max_rejected_share=0.5).load()
    assert log.truth is not None
    assert log.truth.filter(label=1).rows() == [
        ("{H1}", 1, "r4.2-1-ANN0001", "1"),
        ("{F1}", 1, "r4.2-1-ANN0001", "1"),
        ("{H2}", 1, "r4.2-2-BOB0002", "2"),
    ], "of the first the events are listed, of the second only the span is known"
    assert log.truth["event_id"].to_list() == log.events["event_id"].to_list()
    assert not {"label", "incident_id"} & set(log.events.columns)


def test_batches_are_in_the_order_of_time(release: Path) -> None:
    batches = CertSource(release, max_rejected_share=0.5).batches(2)
    times = pl.concat([batch.events for batch in batches])["timestamp"]
    assert times.is_sorted() and len(times) == 8


def test_later_releases_name_the_activity(tmp_path: Path) -> None:
    folder = tmp_path / "r5.2"
    folder.mkdir()
    (folder / "file.csv").write_text(
        "id,date,user,pc,filename,activity,to_removable_media,from_removable_media,content\n"
        "{F1},01/04/2010 09:05:00,ANN0001,PC-1,A1.doc,File Open,False,True,x\n"
    )
    (folder / "email.csv").write_text(
        "id,date,user,pc,to,cc,bcc,from,activity,size,attachments,content\n"
        "{E1},01/04/2010 10:00:00,ANN0001,PC-1,b@dtaa.com,,,a@dtaa.com,View,25830,,text\n"
    )
    (folder / "http.csv").write_text(
        "id,date,user,pc,url,activity,content\n"
        "{H1},01/04/2010 11:00:00,ANN0001,PC-1,http://x.org/y,WWW Upload,text\n"
    )
    log = check_batches(CertSource(folder), 1)
    assert log.events["action"].to_list() == ["file_open", "email_view", "www_upload"]
    assert log.events["from_removable_media"].to_list() == ["True", None, None]
    assert log.truth is None and "role" not in log.events.columns


def test_the_release_must_be_known(release: Path) -> None:
    other = release.rename(release.parent / "cert")
    with pytest.raises(ConfigError, match=r"release: say which .* one of 3\.1, 4\.2"):
        CertSource(other).load()
    with pytest.raises(ConfigError, match=r"release=9: insiders\.csv knows 3\.1, 4\.2 only"):
        CertSource(other, release="9").load()
    log = CertSource(other, release="4.2", max_rejected_share=0.5).load()
    assert log.truth is not None and log.truth["label"].sum() == 3


def test_folders_that_are_no_release(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has none of logon\.csv, device\.csv"):
        CertSource(tmp_path).load()
    (tmp_path / "logon.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"logon\.csv has no column 'id'"):
        CertSource(tmp_path).load()
