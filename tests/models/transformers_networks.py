"""Small networks of the transformers library with random weights, and a picture that is kind to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

SIDE = 64


def photo(width: int, height: int) -> NDArray[np.uint8]:
    """A smooth picture: resizing hardly depends on rounding."""
    rows, columns = np.mgrid[0:height, 0:width] / np.asarray([height, width]).reshape(2, 1, 1)
    waves = [np.sin(7 * rows + 5 * columns), np.cos(9 * columns - 3 * rows), np.sin(11 * rows * columns + 1)]
    return np.asarray(np.stack(waves, axis=2) * 110 + 128, np.uint8)


def spread(model: nn.Module, heads: tuple[str, ...]) -> None:
    """Let an untrained network's classes answer differently from query to query."""
    generator = torch.Generator().manual_seed(5)
    for name, weights in model.named_parameters():
        if any(head in name for head in heads):
            scale = torch.randn(weights.shape, generator=generator) * 0.2
            weights.data = scale if weights.ndim > 1 else scale - 1.5


def transformers_model(kind: str) -> tuple[Any, Any]:
    """A small network of the kind, and the processor that prepares its pictures and reads its answers.

    It has a query for each of the 84 cells, so that no rounding decides which cells become queries.
    """
    transformers = pytest.importorskip("transformers", reason="needs the extra transformers")
    torch.manual_seed(2)
    small: dict[str, Any] = {
        "num_labels": 5, "d_model": 32, "encoder_hidden_dim": 32, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_layers": 2, "num_queries": 84,
        "num_denoising": 0, "encoder_in_channels": [16, 32, 64], "decoder_in_channels": [32, 32, 32],
        "anchor_image_size": None, "hidden_expansion": 0.5,
    }  # fmt: skip
    if kind == "rt_detr":
        backbone = transformers.RTDetrResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16, 32, 64], depths=[1, 1, 1, 1], layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        )  # fmt: skip
        model = transformers.RTDetrForObjectDetection(transformers.RTDetrConfig(backbone_config=backbone, **small))
    else:
        backbone = transformers.HGNetV2Config(
            stem_channels=[3, 8, 8], stage_in_channels=[8, 8, 16, 32], stage_mid_channels=[8, 8, 16, 32],
            stage_out_channels=[8, 16, 32, 64], stage_num_blocks=[1, 1, 1, 1], stage_numb_of_layers=[1, 1, 1, 1],
            stage_downsample=[False, True, True, True], stage_light_block=[False, False, True, True],
            stage_kernel_size=[3, 3, 5, 5], hidden_sizes=[8, 16, 32, 64], depths=[1, 1, 1, 1], embedding_size=8,
            out_features=["stage2", "stage3", "stage4"], use_learnable_affine_block=True,
        )  # fmt: skip
        model = transformers.DFineForObjectDetection(transformers.DFineConfig(backbone_config=backbone, **small))
    spread(model, ("class_embed", "enc_score_head"))
    processor = transformers.RTDetrImageProcessor(size={"height": SIDE, "width": SIDE})
    return model.eval(), processor


def save(model: Any, processor: Any, folder: Path) -> Path:
    """Write a folder as the library's own `save_pretrained` does."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def yolos() -> tuple[Any, Any]:
    """A detector with one softmax over the classes, of which the last means "no object"."""
    transformers = pytest.importorskip("transformers", reason="needs the extra transformers")
    torch.manual_seed(3)
    config = transformers.YolosConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[SIDE, SIDE],
        patch_size=16, num_detection_tokens=12, num_labels=3,
    )  # fmt: skip
    model = transformers.YolosForObjectDetection(config)
    spread(model, ("class_labels_classifier", "bbox_predictor"))
    return model.eval(), transformers.YolosImageProcessor(size={"shortest_edge": SIDE, "longest_edge": 2 * SIDE})


def mask2former() -> tuple[Any, Any]:
    """An instance segmenter."""
    transformers = pytest.importorskip("transformers", reason="needs the extra transformers")
    torch.manual_seed(4)
    backbone = transformers.SwinConfig(
        image_size=SIDE, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_layers=1,
        encoder_feedforward_dim=16, dim_feedforward=16, decoder_layers=2, num_attention_heads=2, num_queries=12,
        num_labels=3,
    )  # fmt: skip
    model = transformers.Mask2FormerForUniversalSegmentation(config)
    spread(model, ("class_predictor", "mask_embedder"))
    return model.eval(), transformers.Mask2FormerImageProcessor(size={"height": SIDE, "width": SIDE}, num_labels=3)


def sam() -> tuple[Any, Any]:
    """A segmenter of the thing in a box."""
    transformers = pytest.importorskip("transformers", reason="needs the extra transformers")
    torch.manual_seed(5)
    config = transformers.SamConfig(
        vision_config={
            "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": SIDE, "patch_size": 8,
            "output_channels": 16, "mlp_dim": 16, "global_attn_indexes": [0], "window_size": 4,
            "num_pos_feats": 8,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": SIDE, "patch_size": 8, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )  # fmt: skip
    processor = transformers.SamImageProcessor(
        size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE},
        mask_size={"longest_edge": 32}, mask_pad_size={"height": 32, "width": 32},
    )  # fmt: skip
    return transformers.SamModel(config).eval(), transformers.SamProcessor(processor)
