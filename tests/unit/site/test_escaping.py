"""Every value reaches its reader unchanged, tried with that reader itself."""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stowage import env_file
from stowage.errors import BadInputError
from stowage.site.escaping import godotenv_value, plain_value, systemd_quoted, systemd_value, url_host, url_part

NASTY = st.text(st.sampled_from("a1'\"\\$`{}()# =;%:!\t\nÄABn") | st.characters(exclude_categories=["Cs"]), max_size=12)
KNOWN = ["'", "\\", "$HOME", "${HOME}", "{{ x }}", '"', "end ", " start", "a#b", "a #b", "%h", "a\nb", "it's\\", "\\'"]
files = settings(deadline=None)


def _systemd() -> Callable[[Path], dict[str, str]]:
    folders = [Path("/usr/lib/x86_64-linux-gnu/systemd"), Path("/usr/lib/systemd"), Path("/lib/systemd")]
    libraries = [one for folder in folders for one in sorted(folder.glob("libsystemd-shared-*.so"))]
    if not libraries:
        pytest.skip("systemd's own library is not on this machine: apt-get install systemd")
    load = ctypes.CDLL(str(libraries[0])).load_env_file
    strings = ctypes.POINTER(ctypes.c_char_p)
    load.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(strings)]

    def read(path: Path) -> dict[str, str]:
        found = strings()
        assert load(None, str(path).encode(), ctypes.byref(found)) >= 0
        made, number = {}, 0
        while found and found[number]:
            name, _, value = (found[number] or b"").decode().partition("=")
            made[name] = value
            number += 1
        return made

    return read


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("env")


@pytest.fixture(scope="module")
def systemd() -> Callable[[Path], dict[str, str]]:
    """The function of systemd's library that reads ``EnvironmentFile``."""
    return _systemd()


@pytest.fixture(scope="module")
def godotenv(folder: Path) -> Iterator[Callable[[Path], dict[str, str]]]:
    """A program around the very version that qatlasd is built with."""
    go = shutil.which("go")
    if not go:
        pytest.skip("no Go on this machine")
    source = folder / "reader"
    source.mkdir()
    shutil.copy(Path(__file__).with_name("godotenv_reader.go"), source / "main.go")
    (source / "go.mod").write_text("module reader\n\ngo 1.18\n\nrequire github.com/joho/godotenv v1.5.1\n")
    built = subprocess.run(
        [go, "build", "-mod=mod", "-o", "reader"], cwd=source, capture_output=True, text=True, check=False
    )
    if built.returncode:
        pytest.skip(f"godotenv 1.5.1 is not at hand: {built.stderr[-200:]}")
    with subprocess.Popen([source / "reader"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout

        def read(path: Path) -> dict[str, str]:
            process.stdin.write(f"{path}\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            found: dict[str, str] = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            return found

        yield read
        process.stdin.close()


def lines(folder: Path, write: Callable[[str], str], *values: str) -> tuple[Path, dict[str, str]]:
    """A file with these values, a plain one behind each, and what must be read from it."""
    wanted: dict[str, str] = {}
    text = "# a comment\n"
    for number, value in enumerate(values):
        wanted |= {f"V{number}": value, f"P{number}": "plain"}
        text += f"V{number}={write(value)}\nP{number}=plain\n"
    path = folder / "env"
    path.write_text(text, newline="")
    return path, wanted


def accepted(write: Callable[[str], str], value: str) -> bool:
    try:
        write(value)
    except BadInputError:
        return False
    return True


@pytest.mark.parametrize("write", [systemd_value, systemd_quoted])
@files
@given(values=st.lists(NASTY, max_size=3))
def test_systemd_reads_what_was_written(systemd, folder: Path, write, values: list[str]) -> None:
    path, wanted = lines(folder, write, *(one for one in values if accepted(write, one)))
    assert systemd(path) == wanted


@pytest.mark.parametrize("value", KNOWN)
def test_systemd_and_sh_and_our_own_reader_read_the_known_hard_ones_alike(systemd, folder: Path, value: str) -> None:
    path, wanted = lines(folder, systemd_value, value)
    assert systemd(path) == env_file.parse(path.read_text()) == wanted
    script = f'set -a; . {path}; printf "%s." "$V0"'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == f"{value}."


@files
@given(st.lists(NASTY, max_size=3))
def test_our_own_reader_reads_what_was_written(values: list[str]) -> None:
    good = [one for one in values if accepted(systemd_value, one)]
    text = "".join(f"V{number}={systemd_value(one)}\n" for number, one in enumerate(good))
    assert env_file.parse(text) == {f"V{number}": one for number, one in enumerate(good)}


@settings(deadline=None, max_examples=400)
@given(
    st.lists(st.sampled_from(["A", "=", "b ", "'", '"', "\\", "\n", "#", ";", "$x", " ", "`", "\t", "é"]), max_size=14)
)
def test_our_own_reader_reads_any_file_as_systemd_does(systemd, folder: Path, parts: list[str]) -> None:
    path = folder / "any"
    path.write_text("".join(parts) + "\nLAST=1\n", newline="")
    assert named(env_file.parse(path.read_text())) == named(systemd(path))


def named(read: dict[str, str]) -> dict[str, str]:
    """Without what has no name: systemd later drops a line that begins with an equals sign."""
    return {name: value for name, value in read.items() if name and not name.startswith("=")}


def test_export_in_front_of_a_name_is_left_out() -> None:
    assert env_file.parse("export A=1\n  export  B='x y'\n") == {"A": "1", "B": "x y"}


@settings(deadline=None, max_examples=400)
@given(st.lists(st.text("a'\"\\$# \n{B=:", max_size=5) | NASTY, max_size=3))
def test_godotenv_reads_what_was_written(godotenv, folder: Path, values: list[str]) -> None:
    path, wanted = lines(folder, godotenv_value, *(one for one in values if accepted(godotenv_value, one)))
    assert godotenv(path) == wanted


@pytest.mark.parametrize(
    "value", [*KNOWN[:-2], "ends in \\", "\\\\", "a\\$B'", "'$B\\n", "a'b\"", "'a\"b", '"a"', "a'b\\"]
)
def test_godotenv_reads_the_known_hard_ones(godotenv, folder: Path, value: str) -> None:
    path, wanted = lines(folder, godotenv_value, value)
    assert godotenv(path) == wanted


def test_what_godotenv_cannot_read_is_refused_without_a_word_of_it() -> None:
    with pytest.raises(BadInputError) as refusal:
        godotenv_value("'secret\\")
    assert "secret" not in str(refusal.value)


@given(NASTY)
def test_a_url_gives_the_password_back(value: str) -> None:
    parts = urlsplit(f"postgresql://me:{url_part(value)}@host:5432/name")
    assert (parts.hostname, parts.port, parts.path) == ("host", 5432, "/name")
    assert unquote(parts.password or "") == value


def test_the_password_of_the_example_is_percent_encoded() -> None:
    assert url_part("p@ss/w:rd#1") == "p%40ss%2Fw%3Ard%231"


@given(NASTY)
def test_a_plain_value_is_what_it_was_for_every_reader(value: str) -> None:
    if accepted(plain_value, value):
        text = f"A={plain_value(value)}\n"
        assert env_file.parse(text) == {"A": value}
        assert not set(value) & set("'\"\\$`# \t\n;{}%")


@pytest.mark.parametrize("value", ["\x00", "a\x1bb", "\r", "\x7f"])
def test_a_control_character_is_refused(value: str) -> None:
    for write in (systemd_value, godotenv_value, plain_value):
        with pytest.raises(BadInputError):
            write(value)


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("fd00::1", "[fd00::1]"),
        ("[fd00::1]", "[fd00::1]"),
        ("10.9.0.1", "10.9.0.1"),
        ("nas.example.org", "nas.example.org"),
    ],
)
def test_an_address_stands_before_a_port_as_a_url_wants_it(address: str, written: str) -> None:
    assert url_host(address) == written
    assert urlsplit(f"http://{written}:9000/").port == 9000
