"""Opening: a model in memory, a folder or a hub id; what cannot be operated on is refused before weights load."""

from pathlib import Path
from typing import Any

from torch import nn

from interconnected_ai.errors import ConfigError, NotAModelError
from interconnected_ai.hub import local_folder
from interconnected_ai.mixtures import REFUSED, num_experts_in
from interconnected_ai.storage import read_json
from interconnected_ai.surgery.anatomy.families import family_of
from interconnected_ai.surgery.checkpoints.loading import load_session
from interconnected_ai.surgery.checkpoints.safetensor_files import files_of, read_header, text_config_in
from interconnected_ai.surgery.model import MoE


def open_moe(
    source: Any, tokenizer: Any = None, *, dtype: Any = "auto", expert_parallel: int | None = None, **loading: Any
) -> MoE:
    """The mixture of experts in a model, its folder or its hub id, ready to be operated on.

    A folder that `MoE.save` wrote with a side-car is opened with everything in it. dtype: as in `from_pretrained`; "auto" is
    the stored one. loading: further arguments of `from_pretrained`, such as device_map.
    Raises `ConfigError` for a dense model, `UnknownNameError` for a family nobody knows, `IntegrityError` for missing shards.
    """
    if isinstance(source, nn.Module):
        return MoE(source, tokenizer, expert_parallel)
    folder = local_folder(source)
    check_openable(folder)
    words = tokenizer if tokenizer is not None else tokenizer_in(folder)
    return MoE.of(load_session(folder, words, dtype=dtype, expert_parallel=expert_parallel, **loading))


def check_openable(folder: Path) -> None:
    """Raise for a folder without a known mixture of experts or without all its weights; reads no weight."""
    if not (folder / "config.json").is_file():
        raise NotAModelError(
            f"no config.json in {folder}; needs the folder of a Hugging Face model, or its hub id as owner/name"
        )
    config = read_json(folder / "config.json")
    text = text_config_in(config, folder)
    if not num_experts_in(text) and text.get("model_type") not in REFUSED:
        raise ConfigError(
            f"{folder} holds a dense model ({text.get('model_type')}): its config.json names no experts; "
            f"surgery.upcycle makes a "
            "mixture of experts out of one"
        )
    family_of(text, str(folder / "config.json"))
    for file in files_of(folder):
        read_header(file)


def tokenizer_in(folder: Path) -> Any:
    """The tokenizer beside a model; None without one."""
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")):
        return None
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)
