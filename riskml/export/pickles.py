"""Follows the pickle of a TorchScript file without making anything of what it describes."""

from __future__ import annotations

import pickletools
import re
from collections.abc import Iterator
from typing import Any

_GLOBALS = re.compile(
    r"__torch__(?!\.torch\.classes)(\.\w+)* \w+|collections OrderedDict|torch \w+Storage"
    r"|torch\._utils _rebuild_tensor_v2"
    r"|torch\.jit\._pickle (build_(int|double|bool|tensor)list|restore_type_tag)"
)
_CONSTANTS = {"BINUNICODE", "BINSTRING", "SHORT_BINSTRING", "BININT", "BININT1", "BININT2"}
_CONSTANTS |= {"LONG1", "BINFLOAT", "NONE", "NEWTRUE", "NEWFALSE"}
_CONSTANTS |= {"EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_CALLS = {"REDUCE": 2, "NEWOBJ": 2}
_CHANGES = {"APPEND": 1, "SETITEM": 2, "BUILD": 1}
_MANY = ("APPENDS", "SETITEMS")
_MARK = object()


def storages(name: str, content: bytes) -> Iterator[tuple[Any, ...]]:
    """What the pickle says of each storage that it refers to: kind, number of its record, length.

    Args:
        name: for messages.
        content: of the file.

    Raises:
        ValueError: it does what no graph's pickle does, or asks for foreign types.
    """
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    for opcode, argument, _ in pickletools.genops(content):
        code = opcode.name
        if code in ("PROTO", "STOP"):
            continue
        if code == "GLOBAL":
            if not _GLOBALS.fullmatch(str(argument)):
                raise ValueError(f"{name} asks for {str(argument).replace(' ', '.')}")
            stack.append(argument)
        elif code in _CONSTANTS:
            stack.append(argument)
        elif code == "MARK":
            stack.append(_MARK)
        elif code in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif code in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif code == "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        elif code in _MANY:
            _since_mark(stack)
        elif code == "BINPERSID":
            yield _storage(name, stack.pop())
            stack.append(None)
        elif code in _TUPLES:
            stack.append(tuple(_taken(stack, _TUPLES[code])))
        elif code in _CALLS:
            _taken(stack, _CALLS[code])
            stack.append(None)
        elif code in _CHANGES:
            _taken(stack, _CHANGES[code])
        else:
            raise ValueError(f"{name} uses {code}, which no graph does")


def _taken(stack: list[Any], count: int) -> list[Any]:
    return [stack.pop() for _ in range(count)][::-1]


def _since_mark(stack: list[Any]) -> list[Any]:
    """Take off all since the last mark, and the mark."""
    found = []
    while (value := stack.pop()) is not _MARK:
        found.append(value)
    return found[::-1]


def _storage(name: str, described: Any) -> tuple[Any, ...]:
    word, kind, record, device, length = described
    if word != "storage" or device != "cpu" or type(length) is not int or length < 0:
        raise ValueError(f"{name} refers to {str(described)[:80]}, which is no storage")
    return kind, record, length
