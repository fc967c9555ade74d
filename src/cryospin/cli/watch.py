"""`cryospin watch`: the page of a run in a browser, live, on this machine alone."""

from __future__ import annotations

import getpass
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cryospin.errors import UsageError


def watch(
    run: Annotated[Path, Argument(help="A folder that `cryospin reconstruct` writes into.")],
    port: Annotated[int, Option(min=0, max=65535, help="Default: one that is free.")] = 0,
) -> None:
    """Show a run in the browser while it is at work, and its report when it has ended.

    The server answers this machine alone, at an address that holds a token. It writes nothing,
    and the run needs neither it nor this command: RUN/report.html shows the same.
    """
    import uvicorn

    from cryospin.report.serve import LOOPBACK, application, check_is_run

    check_is_run(run)
    token = secrets.token_urlsafe(24)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((LOOPBACK, port))
            taken.listen()  # who is quick waits
        except OSError as error:
            fix = "give another --port, or leave it out"
            raise UsageError(f"port {port}: {error.strerror}\n  fix: {fix}") from None
        port = taken.getsockname()[1]
        print(f"http://{LOOPBACK}:{port}/{token}/")
        print("who has this address can see the run, from this machine; from yours, first:")
        print(f"  ssh -N -L {port}:{LOOPBACK}:{port} {getpass.getuser()}@{socket.gethostname()}")
        print("Ctrl-C ends the server; the run goes on", flush=True)
        config = uvicorn.Config(
            application(run, token), log_level="error", ws="none", timeout_graceful_shutdown=1
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[taken])
