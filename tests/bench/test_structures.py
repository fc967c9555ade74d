"""Models by name: found, fetched, or refused with what to do. Nothing here uses the network."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path

import pytest

from cryospin.bench import structures
from cryospin.bench.structures import Structure, model_file
from cryospin.errors import BadDataError, CryospinError, ResourceError, UsageError


def test_names_and_symmetry() -> None:
    spike = Structure.parse("6vxx:C3")
    assert (spike.name, spike.symmetry) == ("6vxx", "C3") and "spike" in spike.title
    assert Structure.parse("2cg9").symmetry == "C1"
    assert "standing in" in Structure.parse("3jb9").title
    with pytest.raises(CryospinError):
        Structure.parse("6vxx:Q7")


@pytest.mark.parametrize(("name", "file"), [("6vxx", "6VXX.pdb.gz"), ("2CG9", "2cg9.cif")])
def test_found_in_either_case(model_folder: Path, name: str, file: str) -> None:
    assert model_file(name, model_folder) == model_folder / file


def test_several_files_of_one_name_are_refused(model_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"several models called twice.*\n  fix"):
        model_file("twice", model_folder)


def test_a_name_that_is_no_pdb_id_is_not_looked_for(model_folder: Path) -> None:
    with pytest.raises(UsageError, match="no PDB id"):
        model_file("notes", model_folder)


def answer(monkeypatch: pytest.MonkeyPatch, told: object) -> list[str]:
    """What the network says; the addresses asked for."""
    asked: list[str] = []

    def urlopen(address: str, timeout: float) -> object:
        asked.append(address)
        if isinstance(told, Exception):
            raise told
        return told

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def test_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, io.BytesIO(b"coordinates"))
    folder = tmp_path / "models"
    path = model_file("3jb9", folder)
    assert path.name == "3jb9.cif.gz" and path.read_bytes() == b"coordinates"
    assert model_file("3JB9", folder) == path
    assert asked == [structures.SOURCE + "3JB9.cif.gz"]


@pytest.mark.parametrize(
    ("told", "expected", "words"),
    [
        (urllib.error.URLError("Name or service not known"), ResourceError, "cannot be reached"),
        (TimeoutError("timed out"), ResourceError, "cannot be reached"),
        (urllib.error.HTTPError("x", 503, "busy", Message(), None), ResourceError, "503"),
        (urllib.error.HTTPError("x", 404, "none", Message(), None), BadDataError, "the PDB has no"),
    ],
)
def test_what_cannot_be_fetched_says_what_to_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    told: Exception,
    expected: type[CryospinError],
    words: str,
) -> None:
    answer(monkeypatch, told)
    with pytest.raises(expected, match=words) as refusal:
        model_file("3jb9", tmp_path)
    assert "fix:" in str(refusal.value) and not list(tmp_path.iterdir())
