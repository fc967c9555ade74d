"""The server gives a run's pages to who has the token, tells what is new, and touches nothing."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
import uvicorn

from cryospin.errors import UsageError
from cryospin.report.live import LivePage
from cryospin.report.serve import (
    LOOPBACK,
    application,
    changed,
    check_is_run,
    events_of,
    lines_after,
    page_of,
)
from report.live_runs import REFINING

TOKEN = "a-token"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run at work, with something in it that is nobody's business."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in REFINING))
    with LivePage(folder, dict, REFINING) as page:
        page.end()
    (folder / "class_01").mkdir()
    (folder / "class_01" / "report.html").write_text("a class")
    (folder / "other").mkdir()
    (folder / "other" / "report.html").write_text("private")
    return folder


@pytest.fixture
def port(run: Path) -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        server = uvicorn.Server(
            uvicorn.Config(
                application(run, TOKEN), log_level="error", ws="none", timeout_graceful_shutdown=1
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield taken.getsockname()[1]
        server.should_exit = True
        thread.join()


def asked(port: int, path: str, host: str | None = None) -> tuple[int, str, dict[str, str]]:
    connection = HTTPConnection(LOOPBACK, port, timeout=10)
    connection.request("GET", path, headers={"Host": host or f"localhost:{port}"})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(), dict(answer.getheaders())
    connection.close()
    return found


def test_who_has_the_token_gets_the_page(port: int) -> None:
    status, text, headers = asked(port, f"/{TOKEN}/")
    assert status == 200 and "agree to 12.4 Å so far" in text
    assert '<html lang="en" data-events="events">' in text
    assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "no-referrer"
    assert asked(port, f"/{TOKEN}/?told123")[0] == 200
    assert asked(port, f"/{TOKEN}/class_01/report.html")[1] == "a class"


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/report.html", "/x/", "/x/events", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/", "/%C3%A9/"),
        *(f"/{TOKEN}/other/report.html", f"/{TOKEN}/log.jsonl", f"/{TOKEN}/class_02/report.htm"),
        *(f"/{TOKEN}/../run/report.html", f"/{TOKEN}/%2e%2e/report.html"),
        f"/{TOKEN}/..%2fother/report.html",
    ],
)
def test_nothing_else_is_given(port: int, path: str) -> None:
    status, text, _ = asked(port, path)
    assert status == 404 and "private" not in text and "Å" not in text


def test_a_name_that_leads_here_is_not_answered(port: int) -> None:
    """A page elsewhere could else read this one through a name of its own."""
    assert asked(port, f"/{TOKEN}/", host="elsewhere.example")[0] == 400
    assert asked(port, f"/{TOKEN}/", host=f"127.0.0.1:{port}")[0] == 200


def test_events_come_as_they_happen(run: Path, port: int) -> None:
    connection = HTTPConnection(LOOPBACK, port, timeout=10)
    connection.request("GET", f"/{TOKEN}/events")
    answer = connection.getresponse()
    assert answer.getheader("content-type", "").startswith("text/event-stream")
    assert answer.readline().startswith(b":")
    with open(run / "log.jsonl", "a") as log:
        log.write('{"event": "begin", "stage": "symmetry"}\n{"event": "cut o')
    told = [answer.readline().decode().strip() for _ in range(4)]
    assert told == ["", "event: line", 'data: {"event": "begin", "stage": "symmetry"}', ""]
    (run / "new").write_text("newer")
    os.replace(run / "new", run / "report.html")
    assert answer.readline().decode().strip() == "event: page"
    connection.close()


def test_nothing_is_written(run: Path, port: int) -> None:
    before = {path: changed(path) for path in run.rglob("*")}
    asked(port, f"/{TOKEN}/")
    assert {path: changed(path) for path in run.rglob("*")} == before


def test_a_run_without_a_page_gets_one_that_is_not_kept(run: Path) -> None:
    (run / "report.html").unlink()
    assert "Interrupted" in page_of(run)
    (run / "log.jsonl").unlink()
    assert "One moment" in page_of(run)
    assert not (run / "report.html").exists()


def test_lines_are_given_once_and_whole(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert lines_after(log, 0) == ([], 0)
    log.write_bytes(b'{"a": 1}\nspoilt\n{"b": 2}\n{"c"')
    lines, place = lines_after(log, 0)
    assert lines == ['{"a": 1}', '{"b": 2}']
    with open(log, "ab") as file:
        file.write(b": 3}\n")
    assert lines_after(log, place)[0] == ['{"c": 3}']
    log.write_text('{"another": "run"}\n')
    assert lines_after(log, place)[0] == ['{"another": "run"}']


def test_a_quiet_run_shows_that_the_server_lives(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cryospin.report.serve.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("cryospin.report.serve.SIGN_OF_LIFE_SECONDS", 0.03)

    async def first_two() -> list[str]:
        events = events_of(run)
        return [await anext(events), await anext(events)]

    assert asyncio.run(first_two()) == [": the run's log and page\n\n", ": at work\n\n"]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, run: Path) -> None:
    check_is_run(run)
    with pytest.raises(UsageError, match="no such folder"):
        check_is_run(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="not the folder of a run"):
        check_is_run(tmp_path)
