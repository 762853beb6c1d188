"""What an .onnx file says of itself, read without what runs it: the weights are stepped over, not read.

The file is a protocol buffer: fields, each with a number and a kind, and the length of those that hold bytes
(https://protobuf.dev/programming-guides/encoding). The numbers are those of `ModelProto` in `onnx.proto`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from tamis.errors import UserError

_GRAPH, _METADATA = 7, 14
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
#: Names of some thousand classes take less.
_LARGEST_ENTRY = 4_000_000


def read_header(path: Path) -> dict[str, str]:
    """Return the metadata of a model.

    Raises:
        UserError: there is no such file, or it is no ONNX model, or not the whole of one.
    """
    metadata: dict[str, str] = {}
    has_graph = False
    try:
        with path.open("rb") as file:
            for number, kind, length in _fields(file, os.fstat(file.fileno()).st_size):
                has_graph |= number == _GRAPH and kind == _BYTES
                if number == _METADATA and kind == _BYTES and length <= _LARGEST_ENTRY:
                    entry = file.read(length)
                    key, value = (_text(entry, part) for part in (1, 2))
                    metadata[key] = value
    except OSError as error:
        raise UserError(f"model file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is no ONNX model, or not the whole of one: {error}") from error
    if not has_graph:
        raise UserError(f"{path} is no ONNX model: it holds no graph")
    return metadata


def _text(entry: bytes, number: int) -> str:
    """One text of an entry of the metadata."""
    stream, found = BytesIO(entry), ""
    for field, kind, length in _fields(stream, len(entry)):
        if field == number and kind == _BYTES:
            found = stream.read(length).decode()
    return found


def _fields(stream: BinaryIO, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, kind and length of each field, the stream at its content; what is left of it is stepped over."""
    while stream.tell() < size:
        number, kind = divmod(_varint(stream), 8)
        length = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind, 0)
        if kind == _VARINT:
            _varint(stream)
        elif kind == _BYTES:
            length = _varint(stream)
        elif not length:
            raise ValueError("its bytes are of another format")
        end = stream.tell() + length
        if not number or end > size:
            raise ValueError("it ends too early" if number else "its bytes are of another format")
        yield number, kind, length
        stream.seek(end)


def _varint(stream: BinaryIO) -> int:
    """A number in groups of seven bits, the lowest first; a set eighth bit says that another group follows."""
    value = 0
    for place in range(10):
        byte = stream.read(1)
        if not byte:
            raise ValueError("it ends too early")
        value |= (byte[0] & 127) << 7 * place
        if byte[0] < 128:
            return value
    raise ValueError("its bytes are of another format")
