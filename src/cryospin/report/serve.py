"""A run's page over HTTP, for this machine alone: live, and through a tunnel of ssh.

Others may use the machine too, so every address begins with a token that only who started the
server has been told. Nothing is written, and of the run's folder nothing but its pages is given.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from cryospin.errors import BadDataError, UsageError
from cryospin.io.run_folder import LOG, PAGE, class_folder

LOOPBACK = "127.0.0.1"
LOOK_SECONDS, SIGN_OF_LIFE_SECONDS = 0.3, 15.0
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}
_ONE_MOMENT = '<!DOCTYPE html><meta http-equiv="refresh" content="2"><title>One moment</title>'
_CLASSES = [class_folder(number) for number in range(1, 100)]


def check_is_run(folder: Path) -> None:
    """Raises UsageError unless a run has begun in the folder."""
    fix = "give the folder that `cryospin reconstruct` writes into"
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder\n  fix: {fix}")
    if not any((folder / name).is_file() for name in (PAGE, LOG, "result.json")):
        raise UsageError(f"{folder} is not the folder of a run\n  fix: {fix}, once it has begun")


def application(folder: Path, token: str) -> Starlette:
    """The pages of the run in a folder, at addresses that begin with the token."""

    def trusted(request: Request) -> bool:
        given = str(request.path_params["token"])
        return secrets.compare_digest(given.encode(), token.encode())

    def page(request: Request) -> Response:
        # only names of ours, whatever else the folder holds
        name = request.path_params.get("folder", ".")
        if not trusted(request) or name not in (".", *_CLASSES):
            return Response(status_code=404)
        return HTMLResponse(page_of(folder / name), headers=_HEADERS)

    async def events(request: Request) -> Response:
        if not trusted(request):
            return Response(status_code=404)
        return StreamingResponse(
            events_of(folder), media_type="text/event-stream", headers=_HEADERS
        )

    routes = [
        Route("/{token}/", page),
        Route("/{token}/events", events),
        Route("/{token}/{folder}/" + PAGE, page),
    ]
    # a page elsewhere whose name leads here is not answered
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"])
    app = Starlette(routes=routes, middleware=[hosts])
    # an address that is nearly right is answered like any other
    app.router.redirect_slashes = False
    return app


def page_of(folder: Path) -> str:
    """The page that is there; of a run that keeps none, made from its files."""
    try:
        text = (folder / PAGE).read_text(encoding="utf-8")
    except OSError:
        from cryospin.report.page import page_text

        try:
            return page_text(folder)
        except BadDataError:
            # a new run is about to begin here
            return _ONE_MOMENT
    # what tells that there is somebody who pushes (live.js)
    return text.replace('<html lang="en">', '<html lang="en" data-events="events">', 1)


async def events_of(folder: Path) -> AsyncIterator[str]:
    """Server-sent events: `line`, one of the log's that is new, and `page`, when that is."""
    log, page = folder / LOG, folder / PAGE
    place, before, quiet = size_of(log), changed(page), 0.0
    yield ": the run's log and page\n\n"
    while True:
        lines, place = lines_after(log, place)
        now = changed(page)
        told = [f"event: line\ndata: {line}\n\n" for line in lines]
        if now != before:
            told.append("event: page\ndata: new\n\n")
            before = now
        quiet = 0.0 if told else quiet + LOOK_SECONDS
        if quiet >= SIGN_OF_LIFE_SECONDS:
            told, quiet = [": at work\n\n"], 0.0
        for each in told:
            yield each
        await asyncio.sleep(LOOK_SECONDS)


def lines_after(log: Path, place: int) -> tuple[list[str], int]:
    """The log's whole lines from a place on, as JSON in one line each, and the place after them."""
    if size_of(log) < place:
        place = 0  # another run has begun
    try:
        with open(log, "rb") as file:
            file.seek(place)
            text = file.read()
    except OSError:
        return [], 0
    whole = text[: text.rfind(b"\n") + 1]
    found = []
    for line in whole.splitlines():
        try:
            found.append(json.dumps(json.loads(line)))
        except ValueError:
            continue  # spoilt
    return found, place + len(whole)


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def changed(path: Path) -> tuple[int, int] | None:
    """What is another when the file is; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
