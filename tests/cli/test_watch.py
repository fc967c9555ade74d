"""`cryospin watch` as it is used: it says where to look, serves, and ends by Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest

from cryospin.cli.watch import watch
from cryospin.errors import UsageError


def test_it_tells_its_address_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("the report")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "cryospin", "watch", str(tmp_path)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(4)]
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/[\w-]{32}/)\n", told[0])
        assert found and f"ssh -N -L {found[1]}:127.0.0.1:{found[1]} " in told[2]
        connection = HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
        connection.request("GET", found[2])
        assert connection.getresponse().read() == b"the report"
        connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("the report")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="--port"):
            watch(tmp_path, taken.getsockname()[1])
