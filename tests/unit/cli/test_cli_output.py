"""The command as a person sees it, without a server."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from stowage.cli import COMMANDS, main
from stowage.cli.output import go_duration, human_size, mebibytes, printable, table_line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (7.4, "7s"), (1207, "20m7s"), (31536000, "8760h0m0s"), (3600, "1h0m0s"), (-5, "-5s"), (59.6, "1m0s")],
)
def test_ages_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


def test_sizes_have_units() -> None:
    assert (mebibytes(1572864), human_size(512), human_size(1536), human_size(5 * 1024**4)) == (
        "1.50 MiB",
        "512 B",
        "1.5 KiB",
        "5.0 TiB",
    )


def test_a_key_can_not_paint_over_the_terminal() -> None:
    assert printable("a b/ü😀") == "a b/ü😀"
    assert printable("x\x1b[2Jy\n") == "x\\x1b[2Jy\\n"


def test_a_table_line_has_two_spaces_between_and_none_at_the_end() -> None:
    assert table_line(["a", "bb", "c"], [3, 2, 9]) == "a    bb  c"


def test_interrupted_before_anything_was_done_it_says_so_with_the_status_of_an_interrupt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stowage.cli.versions.target", interrupt)
    done = CliRunner().invoke(main, ["versions", "--bucket", "b"])
    assert (done.exit_code, done.output) == (130, "stowage: interrupted\n")


def test_help_does_not_wait_for_boto3() -> None:
    code = "import sys\nfrom stowage.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
    code += "sys.exit('boto3' in sys.modules or 'rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    done = CliRunner().invoke(main, [name, "--help"])
    assert done.exit_code == 0
    assert "--endpoint" in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prune", "--older-than", "1d12h"], "'1d12h' is not a duration"),
        (["prune", "--keep-last", "-1"], "keep_last is -1"),
        (["prune", "--prefix", "/a"], "begins with /"),
        (["prune", "--plan-in", "x", "--keep-last", "3"], "--plan-in brings its own rules"),
        (["prune", "--plan-in", "/nonexistent"], "can not be read"),
        (["restore"], "give either a KEY or --prefix"),
        (["restore", "k"], "exactly one of --version-id and --as-of"),
        (["restore", "--prefix", "p"], "--prefix needs --as-of"),
        (["restore", "k", "--as-of", "2001-01-01"], "lacks its time zone"),
        (["presign", "k", "--expires", "8d"], "out of range"),
    ],
)
def test_wrong_input_gives_one_line_and_status_two_before_anything_is_sent(arguments: list[str], said: str) -> None:
    # Port 9 of loopback: whoever sends something fails with another message.
    environ = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "s3cret-value",
    }
    done = CliRunner().invoke(main, [*arguments, "--bucket", "b"], env=environ)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert done.stdout == ""
    assert "s3cret-value" not in done.output


def test_a_server_out_of_reach_gives_one_line_its_cure_and_status_one() -> None:
    environ = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
    done = CliRunner().invoke(main, ["prune", "--bucket", "b"], env=environ)
    assert done.exit_code == 1
    assert "not reached" in done.stderr
    _line, hint = done.stderr.strip().splitlines()
    assert hint == "  hint: start the store, or mend the port"
