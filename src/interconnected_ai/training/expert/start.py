"""What an expert's training begins with: random weights, or those of another expert, which must be of its kind."""

from pathlib import Path

import torch

from interconnected_ai.config import ExpertConfig, ExpertRunConfig
from interconnected_ai.errors import ConfigError, TokenizerError
from interconnected_ai.experts import ExpertModel, expert_key, load_expert, load_model
from interconnected_ai.text import Tokenizer
from interconnected_ai.training.start import Start, has_checkpoints, keep_start

_MAY_DIFFER = ("dropout", "max_seq_len")  # neither is in the weights: positions are computed


def shape_of_init(place: str | Path) -> ExpertConfig:
    """The shape of the expert to begin with. Raises `StorageError` for what is no expert."""
    return load_model(place).config


def require_fitting(config: ExpertRunConfig, words: Tokenizer) -> Start:
    """What the config's training would begin with.

    Raises `ConfigError` for an expert of another shape, `TokenizerError` for one that reads other tokens, `StorageError` for
    what is no expert.
    """
    if config.init is None:
        return Start()
    model, own, card = load_expert(config.init)
    if own.sha256 != words.sha256:
        raise TokenizerError(
            f"the expert {config.init} reads with another tokenizer ({own.sha256[:12]}…) than this training "
            f"({words.sha256[:12]}…); its weights know other tokens. Leave tokenizer out to take the expert's own"
        )
    theirs, asked = _told(model.config), _told(config.model.with_changes(vocab_size=words.vocab_size))
    if unlike := [key for key, value in theirs.items() if asked[key] != value]:
        key = unlike[0]
        raise ConfigError(
            f"model.{key}={asked[key]}, and the expert {config.init} that the training begins with has {key}={theirs[key]}; "
            "set it so, or leave init out"
        )
    return Start(card.name or Path(config.init).name, expert_key(config.init))


def begun_from(folder: Path, config: ExpertRunConfig, words: Tokenizer, *, resume: bool) -> None:
    """Keep what the training begins with; see `keep_start`."""
    keep_start(folder, config.init, lambda: require_fitting(config, words), resume=resume)


def first_model(folder: Path, config: ExpertRunConfig, words: Tokenizer, *, resume: bool) -> ExpertModel:
    """The model as the training begins with it; a resumed one is filled from its checkpoint afterwards."""
    shape = config.model.with_changes(vocab_size=words.vocab_size)
    model = ExpertModel.from_config(shape, generator=torch.Generator().manual_seed(config.training.seed))
    if config.init is None or (resume and has_checkpoints(folder)):
        return model
    theirs = dict(load_model(config.init).named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(theirs[name])
    return model


def _told(shape: ExpertConfig) -> dict[str, object]:
    known: dict[str, object] = {**shape.to_dict(), "d_ff": shape.inner}
    return {key: value for key, value in known.items() if key not in _MAY_DIFFER}
