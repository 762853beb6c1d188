"""A small HEIC file: the picture of `test_decode`, since no library that may be installed for tests writes the format.

`TURNED` also holds the properties irot and imir, whose values can be set.
"""

from __future__ import annotations

from base64 import b64decode

PLAIN = b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABegABAAAAAAAAAMgAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA1mlwcnAAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoDCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xy"
    "bmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABgAAAAQAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAANBt"
    "ZGF0AAAAxCgBrwng1osf/VMk2n2wfQMUjnrZBMqDVzl04wudNXvy8eH9WLVnetxeVvfIFX/Qp2jyTwexSqHd7QAtCzz/CJ4fl382"
    "yPUoHPOH20DWSUmza2hS5tmTCR8Yzr7c7ct0YhiCGE2go4rpu8Ozx8x9FWNzel0Q2UV+S/TlhMtfXlLafgO2XYTkJfcErQvKOI0a"
    "T7RMRtvSlWnmQpXZ4Ox955U8jype6yQznqrtqKPaQmcuITlNq80JY41pknmI2lZdcE3Ocf4="
)
TURNED = b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAattZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ADRpbG9jAAAAAERAAAIAAQAAAAABzwABAAAAAAAAAMgAAgAAAAAClwABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAA6mlwcnAAAADJaXBjbwAAAHhodmNDAQNwAAAA"
    "kAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoDCBBZbq"
    "SSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABgAAAAQAAAABBw"
    "aXhpAAAAAAMICAgAAAAJaXJvdAMAAAAJaW1pcgEAAAAZaXBtYQAAAAAAAAABAAEGgQIDBIWGAAAAGmlyZWYAAAAAAAAADmNkc2MA"
    "AgABAAEAAAD0bWRhdAAAAMQoAa8J4NaLH/1TJNp9sH0DFI562QTKg1c5dOMLnTV78vHh/Vi1Z3rcXlb3yBV/0Kdo8k8HsUqh3e0A"
    "LQs8/wieH5d/Nsj1KBzzh9tA1klJs2toUubZkwkfGM6+3O3LdGIYghhNoKOK6bvDs8fMfRVjc3pdENlFfkv05YTLX15S2n4Dtl2E"
    "5CX3BK0LyjiNGk+0TEbb0pVp5kKV2eDsfeeVPI8qXuskM56q7aij2kJnLiE5TavNCWONaZJ5iNpWXXBNznH+AAAABkV4aWYAAE1N"
    "ACoAAAAIAAEBEgADAAAAAQAFAAAAAAAA"
)


def turned(quarters: int, axis: int) -> bytes:
    """Return the file turned counterclockwise, then with top and bottom (0) or left and right (1) swapped."""
    data = bytearray(TURNED)
    data[data.index(b"irot") + 4] = quarters
    data[data.index(b"imir") + 4] = axis
    return bytes(data)


def claiming(width: int, height: int) -> bytes:
    """Return the file with another size in its header."""
    data = bytearray(PLAIN)
    at = data.index(b"ispe") + 8
    data[at : at + 8] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(data)
