r"""Reads an env file as systemd does, so that a command sees what the service sees.

No library reads them so: python-dotenv expands ``${NAME}`` also inside quotes, takes ``\\`` in single quotes for one
backslash, and loses its way at a quoted value that ends in a backslash.
"""

from __future__ import annotations

from enum import Enum, auto

_SPACES, _LINE_ENDS = " \t\n\r", "\n\r"
_ESCAPED_IN_DOUBLE = '"\\`$'


class _State(Enum):
    BEFORE_NAME = auto()
    NAME = auto()
    BEFORE_VALUE = auto()
    VALUE = auto()
    ESCAPED = auto()
    SINGLE = auto()
    DOUBLE = auto()
    DOUBLE_ESCAPED = auto()
    COMMENT = auto()
    COMMENT_ESCAPED = auto()


def parse(text: str) -> dict[str, str]:  # noqa: PLR0912, PLR0915 - one branch for each state of systemd's own parser
    """Return the variables of an env file.

    Args:
        text: Its content, by the rules of ``EnvironmentFile`` in systemd.exec(5); ``export`` in front of a name, as a
            shell wants it, is left out.

    Returns:
        Name to value; of a name that stands there twice, the last value.
    """
    found: dict[str, str] = {}
    state, name, value, solid = _State.BEFORE_NAME, "", "", 0

    def finish() -> None:
        key = name.rstrip(_SPACES)
        found[key.removeprefix("export ").lstrip(_SPACES)] = value[:solid] + value[solid:].rstrip(_SPACES)

    for letter in text:
        match state:
            case _State.BEFORE_NAME:
                if letter in "#;":
                    state = _State.COMMENT
                elif letter not in _SPACES:
                    state, name, value, solid = _State.NAME, letter, "", 0
            case _State.NAME:
                if letter in _LINE_ENDS:
                    state = _State.BEFORE_NAME
                elif letter == "=":
                    state = _State.BEFORE_VALUE
                else:
                    name += letter
            case _State.BEFORE_VALUE | _State.VALUE:
                if letter in _LINE_ENDS:
                    finish()
                    state = _State.BEFORE_NAME
                elif letter == "\\":
                    state, solid = _State.ESCAPED, len(value)
                elif state is _State.BEFORE_VALUE and letter in "'\"":
                    state = _State.SINGLE if letter == "'" else _State.DOUBLE
                elif state is _State.VALUE or letter not in _SPACES:
                    state, value = _State.VALUE, value + letter
            case _State.ESCAPED:
                state = _State.VALUE
                if letter not in _LINE_ENDS:
                    value += letter
                    solid = len(value)
            case _State.SINGLE:
                if letter == "'":
                    state, solid = _State.BEFORE_VALUE, len(value)
                else:
                    value += letter
            case _State.DOUBLE:
                if letter == '"':
                    state, solid = _State.BEFORE_VALUE, len(value)
                elif letter == "\\":
                    state = _State.DOUBLE_ESCAPED
                else:
                    value += letter
            case _State.DOUBLE_ESCAPED:
                state = _State.DOUBLE
                if letter in _ESCAPED_IN_DOUBLE:
                    value += letter
                elif letter not in "\n":
                    value += "\\" + letter
            case _State.COMMENT:
                state = {"\\": _State.COMMENT_ESCAPED}.get(letter, state)
                if letter in _LINE_ENDS:
                    state = _State.BEFORE_NAME
            case _State.COMMENT_ESCAPED:
                state = _State.COMMENT
    if state in (_State.SINGLE, _State.DOUBLE, _State.DOUBLE_ESCAPED):
        solid = len(value)
    if state not in (_State.BEFORE_NAME, _State.NAME, _State.COMMENT, _State.COMMENT_ESCAPED):
        finish()
    return found
