"""A whole training of an expert: from text files to the folder that `iai generate` opens.

The expert stands in `output`, its training in a folder beside it, OUTPUT-training: run.yaml, tokenizer.json, train.npy,
validation.jsonl, test.jsonl, text_report.json, metrics.jsonl, samples.jsonl, logs/ (TensorBoard), checkpoints/,
results.json.
"""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interconnected_ai.config import ExpertConfig, ExpertRunConfig
from interconnected_ai.errors import ConfigError, StorageError, TokenizerError
from interconnected_ai.experts import ExpertCard, ExpertModel, save_expert
from interconnected_ai.storage import atomic_file, is_complete, read_json
from interconnected_ai.text import Tokenizer
from interconnected_ai.training.expert.fit import ExpertFit, fit_expert
from interconnected_ai.training.expert.pace import within
from interconnected_ai.training.expert.perplexity import HeldOut, Perplexity, measure
from interconnected_ai.training.expert.samples import Samples
from interconnected_ai.training.expert.texts import TextSplits, read_stream, read_texts, split_texts, write_stream
from interconnected_ai.training.processes import Processes
from interconnected_ai.training.runs import write_json_safely

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExpertRun:
    """What a finished training leaves. test: of held-out documents that nothing was chosen by, if there are any."""

    folder: Path
    training_folder: Path
    model: ExpertModel
    tokenizer: Tokenizer
    fit: ExpertFit
    test: Perplexity | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "expert": str(self.folder),
            "training": str(self.training_folder),
            "num_params": self.model.get_num_params(),
            "vocab_size": self.tokenizer.vocab_size,
            "fit": fit_to_dict(self.fit),
            "test": None if self.test is None else self.test.to_dict(),
        }


def train_expert(
    config: ExpertRunConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    minutes: float | None = None,
    texts: TextSplits | None = None,
    tokenizer: Tokenizer | None = None,
) -> ExpertRun:
    """Read the text, train a tokenizer unless there is one, train the expert, measure it, save it to `config.output`.

    resume: go on after an interruption. overwrite: drop what an earlier training left. minutes: as many steps as fit into
    them, found by timing a few; the number is kept, so that a resumed training ends where it would have. texts, tokenizer:
    in memory already, in place of reading `config.text` and `config.tokenizer`.
    Raises `StorageError` when the folder is taken and neither is asked for; see `fit_expert` for the rest.
    """
    output, folder = Path(config.output), training_folder(config)
    processes = Processes.open(config.training.device, config.training.precision)
    if processes.is_main:
        _prepare_folder(output, folder, resume=resume, overwrite=overwrite)
        _keep_config(folder, config, resume=resume)
        if not (folder / _REPORT).is_file():
            _prepare_text(folder, config, texts or _read(config), tokenizer)
    processes.wait()
    words = Tokenizer.load(folder / _TOKENIZER)
    model = _fresh_model(config, words)
    stream = read_stream(folder / _STREAM)
    config = _paced(minutes, config, model, stream, processes)
    held = {
        part: HeldOut.of(found, words) if (found := _read_lines(folder / f"{part}.jsonl")) else None for part in _HELD
    }
    most = config.training.evaluation_tokens
    validation = HeldOut.of(_read_lines(folder / "validation.jsonl"), words, most_tokens=most)
    sample = Samples(folder / "samples.jsonl", words, config.training.samples, config.training.sample_tokens)
    fit = fit_expert(
        model, stream, validation, config.training, folder,
        resume=resume, sample=sample if config.training.samples else None,
    )  # fmt: skip
    seq_len = config.training.seq_len or model.config.max_seq_len
    test = None if held["test"] is None else measure(model, held["test"], seq_len=seq_len)
    run = ExpertRun(output, folder, model, words, fit, test)
    if processes.is_main:
        save_expert(model, output, words, ExpertCard(output.name, words.sha256, _card(run, config)))
        write_json_safely(folder / "results.json", run.to_dict())
    return run


def training_folder(config: ExpertRunConfig) -> Path:
    """Where checkpoints, curves and prepared text of a training stand: beside the expert."""
    return _beside(Path(config.output))


def held_out_texts(expert: Path, part: str) -> list[str]:
    """The documents that an expert's training held out for "validation" or "test"; none where it is not beside it."""
    path = _beside(expert) / f"{part}.jsonl"
    return _read_lines(path) if path.is_file() else []


def fit_to_dict(fit: ExpertFit) -> dict[str, Any]:
    """Plain values, ready for JSON."""
    validation = None if fit.validation is None else fit.validation.to_dict()
    return {**asdict(fit), "tokens_per_second": fit.tokens_per_second, "validation": validation}


_TOKENIZER, _STREAM, _REPORT = "tokenizer.json", "train.npy", "text_report.json"
_HELD = ("validation", "test")


def _beside(expert: Path) -> Path:
    return expert.with_name(f"{expert.name}-training")


def _prepare_folder(output: Path, folder: Path, *, resume: bool, overwrite: bool) -> None:
    if resume and overwrite:
        raise ConfigError("resume and overwrite exclude each other; choose one")
    if overwrite:
        if (folder / "run.yaml").is_file():
            shutil.rmtree(folder)
        return
    if resume:
        return
    if is_complete(output):
        raise StorageError(f"{output} holds an expert; use --overwrite to train it anew, or choose another --out")
    if folder.exists() and any(folder.iterdir()):
        raise StorageError(
            f"{folder} holds an unfinished training; use --resume to go on with it, --overwrite to drop it, or another --out"
        )


def _keep_config(folder: Path, config: ExpertRunConfig, *, resume: bool) -> None:
    """Keep the run's config; a resumed run must have the one it began with."""
    kept = folder / "run.yaml"
    if resume and kept.is_file():
        before = ExpertRunConfig.from_file(kept).with_changes(output=config.output).to_dict()
        if before != config.to_dict():
            raise ConfigError(
                f"{kept} differs from the settings given ({', '.join(_differences(before, config.to_dict()))}); resume with "
                "the same, or train into another folder"
            )
        return
    with atomic_file(kept) as scratch:
        scratch.write_text(config.to_yaml(), encoding="utf-8")


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    out = []
    for key, value in now.items():
        if isinstance(value, dict) and isinstance(before.get(key), dict):
            out += [f"{key}.{inner}" for inner in _differences(before[key], value)]
        elif before.get(key) != value:
            out.append(key)
    return out


def _read(config: ExpertRunConfig) -> TextSplits:
    """The documents that the config names, split as it says."""
    text = config.text
    given = {part: read_texts(getattr(text, part), column=text.text) for part in _HELD if getattr(text, part)}
    splits = split_texts(
        read_texts(text.paths, column=text.text),
        validation=0.0 if "validation" in given else text.validation_fraction,
        test=0.0 if "test" in given else text.test_fraction,
        seed=text.split_seed,
    )
    return replace(splits, **given)


def _prepare_text(folder: Path, config: ExpertRunConfig, texts: TextSplits, tokenizer: Tokenizer | None) -> None:
    """Tokenizer, token stream and held-out documents as files; the report comes last and says that they are whole."""
    words = tokenizer or _tokenizer(config, texts.train)
    stream = write_stream(texts.train, words, folder / _STREAM)
    for part in _HELD:
        with atomic_file(folder / f"{part}.jsonl") as scratch:
            lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in getattr(texts, part))
            scratch.write_text("".join(lines), encoding="utf-8")
    words.save(folder / _TOKENIZER)
    num_bytes = sum(len(text.encode()) for text in texts.train)
    report = {
        "train_documents": len(texts.train), "train_bytes": num_bytes, "train_tokens": len(stream) - 1,
        "bytes_per_token": num_bytes / (len(stream) - 1),
        "validation_documents": len(texts.validation), "test_documents": len(texts.test),
    }  # fmt: skip
    write_json_safely(folder / _REPORT, report)


def _tokenizer(config: ExpertRunConfig, texts: Sequence[str]) -> Tokenizer:
    if config.tokenizer is None:
        return Tokenizer.train(texts, config.model.vocab_size, roles=config.roles)
    path = Path(config.tokenizer)
    words = Tokenizer.load(path / _TOKENIZER if path.is_dir() else path)
    if missing := [role for role in config.roles if role not in words.roles]:
        raise TokenizerError(
            f"the tokenizer {path} has no role {missing[0]!r}; add it there first, or leave it out here"
        )
    return words


def _fresh_model(config: ExpertRunConfig, words: Tokenizer) -> ExpertModel:
    shape: ExpertConfig = config.model.with_changes(vocab_size=words.vocab_size)
    generator = torch.Generator().manual_seed(config.training.seed)
    return ExpertModel.from_config(shape, generator=generator)


def _paced(
    minutes: float | None, config: ExpertRunConfig, model: ExpertModel, stream: np.ndarray, processes: Processes
) -> ExpertRunConfig:
    """The config with as many steps as fit into `minutes`; a resumed training has those it began with."""
    kept = training_folder(config) / "paced.json"
    if kept.is_file():
        return config.with_changes(training=read_json(kept))
    if minutes is None:
        return config
    training = within(minutes, model, stream, config.training)
    processes.wait()
    if processes.is_main:
        write_json_safely(kept, training.to_dict())
    return config.with_changes(training=training.to_dict())


def _read_lines(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def _card(run: ExpertRun, config: ExpertRunConfig) -> dict[str, Any]:
    """What the expert's card says of its training."""
    report = read_json(run.training_folder / _REPORT)
    found = run.test or run.fit.validation
    figures = {} if found is None else {"bits_per_byte": found.bits_per_byte, "perplexity": found.perplexity}
    return {
        **figures,
        "measured_on": "test" if run.test is not None else "validation",
        "seq_len": config.training.seq_len or run.model.config.max_seq_len,
        "steps": run.fit.steps,
        "best_step": run.fit.best_step,
        "epochs": run.fit.epochs,
        "train_tokens": report["train_tokens"],
        "train_bytes": report["train_bytes"],
        "precision": run.fit.precision,
        "settings": config.training.to_dict(),
    }
