from __future__ import annotations

import pickle
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.blobs import BlobCorrupt, BlobMissing, BlobStore
from tamis.errors import ProjectError


@given(data=st.binary(max_size=200))
def test_what_is_put_is_what_is_got(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = BlobStore(tmp_path_factory.mktemp("store"))
    key = store.put(data)
    assert key == sha256(data).hexdigest()
    assert store.get(key) == data
    assert key in store


def test_the_same_bytes_are_written_once(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    key = store.put(b"picture")
    written = Path(store.path(key)).stat().st_mtime_ns
    assert store.put(b"picture") == key
    assert Path(store.path(key)).stat().st_mtime_ns == written


def test_a_blob_that_was_cut_short_is_written_again(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    key = store.put(b"picture")
    Path(store.path(key)).write_bytes(b"pict")
    with pytest.raises(BlobCorrupt):
        store.get(key)
    store.put(b"picture")
    assert store.get(key) == b"picture"


def test_missing_bytes_are_told(tmp_path: Path) -> None:
    with pytest.raises(BlobMissing):
        BlobStore(tmp_path).get("0" * 64)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63, "/" * 64])
def test_no_name_but_a_digest_becomes_a_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no SHA-256"):
        BlobStore(tmp_path).path(name)


def test_leftovers_of_interrupted_writes_are_swept(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(b"picture")
    (tmp_path / "temporary" / "left").write_bytes(b"half")
    assert store.sweep() == 1
    assert store.sweep() == 0


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    folder = tmp_path / "temporary"
    folder.symlink_to("/dev/full")
    with pytest.raises(ProjectError, match=r"cannot write to the store"):
        store.put(b"picture")


def test_a_store_pickles_and_takes_urls(tmp_path: Path) -> None:
    store = BlobStore(f"file://{tmp_path}")
    key = store.put(b"picture")
    assert pickle.loads(pickle.dumps(store)).get(key) == b"picture"
    memory = BlobStore("memory://tamis-test")
    assert memory.get(memory.put(b"x")) == b"x"
    memory.delete(sha256(b"x").hexdigest())
    assert sha256(b"x").hexdigest() not in memory
