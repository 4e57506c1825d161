"""A whole training of an adapter: from text or conversations to the adapter's folder, which `iai generate` opens.

The adapter stands in `output`, its training in a folder beside it, OUTPUT-training: run.yaml, base.json, corpus/ or
chats/ (what was read, tokenised), metrics.jsonl, logs/ (TensorBoard), checkpoints/, results.json.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from interconnected_ai.arguments import checked
from interconnected_ai.config import AdapterRunConfig
from interconnected_ai.data import Survey
from interconnected_ai.errors import ConfigError
from interconnected_ai.experts import AdapterWeights, Base, ExpertCard, LowRank, find_base, save_adapter
from interconnected_ai.storage import is_complete
from interconnected_ai.text import PretrainedTokenizer
from interconnected_ai.training.adapter.fit import AdapterFit, fit_adapter
from interconnected_ai.training.adapter.learner import Foretold, foretell
from interconnected_ai.training.adapter.material import (
    Material,
    block_of,
    open_material,
    open_pairs,
    portrait_of,
    prepare_material,
)
from interconnected_ai.training.adapter.network import AdaptedNetwork
from interconnected_ai.training.adapter.opening import open_network, open_tokenizer
from interconnected_ai.training.adapter.preferred import Preferred
from interconnected_ai.training.adapter.start import begun_from, fill, require_fitting
from interconnected_ai.training.computing import open_processes
from interconnected_ai.training.interruption import going_on_later
from interconnected_ai.training.outputs import beside, gone_if_refused, keep_config, refuse_taken
from interconnected_ai.training.portrait import Portrait
from interconnected_ai.training.preference.fit import fit_preferences
from interconnected_ai.training.preference.pairs import facts_of
from interconnected_ai.training.processes import Processes
from interconnected_ai.training.run_folder import (
    as_record,
    content_of,
    drop_folder,
    owned,
    process_rank,
    refuse_busy_folder,
    write_json_safely,
)
from interconnected_ai.training.start import Start

_log = logging.getLogger(__name__)
_RESULTS, _BASE = "results.json", "base.json"


@dataclass(frozen=True)
class AdapterRun:
    """What a finished training leaves. base, test: the base alone and the adapted one on examples that nothing was chosen by,
    if there are any. material: None where it learnt from preferences. model: with the adapter's weights; None where the
    training had been finished before it was resumed.
    """

    folder: Path
    training_folder: Path
    fit: AdapterFit
    base: Foretold | None
    test: Foretold | Preferred | None
    num_params: int
    model: AdaptedNetwork | None = None
    material: Material | None = None

    @property
    def was_finished(self) -> bool:
        """Whether it had been finished before it was resumed; nothing was trained or written."""
        return self.model is None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "adapter": str(self.folder),
            "training": str(self.training_folder),
            "num_params": self.num_params,
            "fit": self.fit.to_dict(),
            "base": None if self.base is None else self.base.to_dict(),
            "test": None if self.test is None else self.test.to_dict(),
        }


@checked
def train_adapter(
    config: AdapterRunConfig, *, resume: bool = False, overwrite: bool = False, surveyed: Survey | None = None
) -> AdapterRun:
    """Read what is to be learnt, train an adapter on the base, measure it, save it to `config.output`.

    resume: go on after an interruption, on what was read then. overwrite: drop what an earlier training left. surveyed: at
    hand already, in place of `config.text`.
    A training that begins with another adapter (`config.init`) is resumed whatever has become of it since.
    A finished training that is resumed is returned as it stands. Ctrl-C and SIGTERM raise `TrainingStoppedError`, a
    `KeyboardInterrupt` that says from which checkpoint it goes on.
    Raises `StorageError` when the folder is taken and neither is asked for, `BusyError` while another training is at work
    there; see `find_base`, `AdaptedNetwork` and `fit_adapter` for the rest.
    """
    folder = adapter_training_folder(config)
    if process_rank() == 0:
        refuse_busy_folder(folder)
    processes = open_processes(config.training.device, config.training.precision, folder, resume=resume)
    with owned(folder, is_main=processes.is_main):
        return _train(config, folder, processes, resume, overwrite, surveyed)


@checked
def adapter_training_folder(config: AdapterRunConfig) -> Path:
    """Where checkpoints, curves and prepared text of a training stand: beside the adapter."""
    return beside(Path(config.output))


@checked
def refuse_taken_adapter(config: AdapterRunConfig, *, resume: bool = False, overwrite: bool = False) -> None:
    """Raise `StorageError` where an expert or a training stands and nobody said what to do with it. Changes nothing.

    `ConfigError` where one of them is, lies in or contains what the adapter is to learn from.
    """
    refuse_taken(Path(config.output), _sources(config), resume=resume, overwrite=overwrite)


def _train(
    config: AdapterRunConfig,
    folder: Path,
    processes: Processes,
    resume: bool,
    overwrite: bool,
    surveyed: Survey | None,
) -> AdapterRun:
    output = Path(config.output)
    base = find_base(config.base)
    if processes.is_main:
        refuse_taken_adapter(config, resume=resume, overwrite=overwrite)
    with going_on_later(folder):
        # Before anything is written or replaced: a base that lacks what is to be adapted is refused here.
        model = None if resume and folder.exists() else _adapted(config, processes, base)
        words = open_tokenizer(base)
        if processes.is_main:
            if not resume and (folder / "run.yaml").is_file():
                _replace(folder, config, base, words, surveyed)
            with gone_if_refused(folder):
                keep_config(folder, config, resume=resume)
                _keep_base(folder, base, resume=resume)
                begun_from(folder, config, base, resume=resume)
                prepare_material(folder, config, base, words, surveyed, resume=resume)
        processes.wait()
        if resume and is_complete(output) and (folder / _RESULTS).is_file():
            return _kept_run(output, folder)
        if processes.is_main:
            (folder / _RESULTS).unlink(missing_ok=True)  # of an adapter that has gone since
        return _fitted(config, folder, processes, resume, base, model or _adapted(config, processes, base))


def _replace(
    folder: Path, config: AdapterRunConfig, base: Base, words: PretrainedTokenizer, surveyed: Survey | None
) -> None:
    """What this training learns from in place of an older training's folder, which stays whole where that is refused."""
    require_fitting(config, base)
    fresh = folder.with_name(f".{folder.name}.fresh")
    drop_folder(fresh)
    with gone_if_refused(fresh):
        prepare_material(fresh, config, base, words, surveyed, resume=False)
    drop_folder(folder)
    fresh.rename(folder)


def _keep_base(folder: Path, base: Base, *, resume: bool) -> None:
    """Keep the hash of the base; a resumed training must have the one it began with."""
    kept = folder / _BASE
    if resume and kept.is_file():
        if (before := content_of(kept).get("sha256")) != base.sha256:
            raise ConfigError(
                f"this training began on another base (SHA-256 {str(before)[:12]}…; {base.name} has {base.sha256[:12]}…); "
                "put that one back to resume, or train into another folder"
            )
        return
    write_json_safely(kept, {"name": base.name, "sha256": base.sha256})


def _adapted(config: AdapterRunConfig, processes: Processes, base: Base) -> AdaptedNetwork:
    # FSDP keeps a layer's weights in one type: that of the adapter's
    dtype = torch.float32 if processes.parallelism.shards else processes.choice.dtype
    return AdaptedNetwork(
        open_network(base, dtype),
        config.adapter,
        bits=config.base_bits,
        generator=torch.Generator().manual_seed(config.training.seed),
    )


def _fitted(
    config: AdapterRunConfig, folder: Path, processes: Processes, resume: bool, base: Base, model: AdaptedNetwork
) -> AdapterRun:
    output = Path(config.output)
    fill(model, folder, config, resume=resume)
    words = open_tokenizer(base)
    if config.preferences is None:
        run, train_tokens = _from_material(config, folder, processes, resume, model, words)
    else:
        run, train_tokens = _from_pairs(config, config.preferences.beta, folder, processes, resume, model)
    if processes.is_main:
        shown, start = portrait_of(folder, config, words), Start.kept_in(folder)
        card = _card(run, config, base, words.sha256, train_tokens, shown, start)
        weights = {name: LowRank(a.cpu(), b.cpu(), model.scale) for name, (a, b) in model.pairs().items()}
        save_adapter(AdapterWeights(weights), output, card, dropout=config.adapter.dropout)
        write_json_safely(folder / _RESULTS, run.to_dict())
    return run


def _from_material(
    config: AdapterRunConfig,
    folder: Path,
    processes: Processes,
    resume: bool,
    model: AdaptedNetwork,
    words: PretrainedTokenizer,
) -> tuple[AdapterRun, int]:
    """Learn from documents or conversations; the run, and how many tokens there are to learn from."""
    material = open_material(folder, config, words, block_of(config, model.max_seq_len))
    fit = fit_adapter(
        model, material.train, material.validation, config.training, material.seq_len, folder, processes, resume=resume
    )
    alone = adapted = None
    if material.test is not None:
        adapted = foretell(model, material.test, material.seq_len)
        with model.without_adapter():
            alone = foretell(model, material.test, material.seq_len)
    run = AdapterRun(Path(config.output), folder, fit, alone, adapted, model.num_learnt, model, material)
    return run, int(material.train.lengths.sum())


def _from_pairs(
    config: AdapterRunConfig, beta: float, folder: Path, processes: Processes, resume: bool, model: AdaptedNetwork
) -> tuple[AdapterRun, int]:
    """Learn from preferences; the run, and how many tokens there are to learn from."""
    corpus = open_pairs(folder)
    fit = fit_preferences(model, corpus, config.training, beta, folder, processes, resume=resume)
    run = AdapterRun(Path(config.output), folder, fit, None, None, model.num_learnt, model)
    return run, int(facts_of(corpus.train)["num_tokens"])


def _kept_run(output: Path, folder: Path) -> AdapterRun:
    """A finished training as it stands on the disk."""
    path = folder / _RESULTS
    kept = content_of(path)
    fit: AdapterFit = as_record(path, kept.get("fit"), _FIT)
    base, test = (as_record(path, kept.get(name), _TEST) for name in ("base", "test"))
    return AdapterRun(output, folder, fit, base, test, int(kept.get("num_params", 0)))


def _sources(config: AdapterRunConfig) -> list[str]:
    """Files and folders that a training reads."""
    text, chats = config.text, config.chats or config.preferences
    of_text = [] if text is None else [*text.paths, *text.validation, *text.test]
    of_init = [] if config.init is None else [config.init]
    return [config.base, *of_init, *of_text, *([] if chats is None else [*chats.paths, *chats.validation])]


def _card(
    run: AdapterRun,
    config: AdapterRunConfig,
    base: Base,
    tokenizer_sha256: str,
    train_tokens: int,
    portrait: Portrait,
    start: Start,
) -> ExpertCard:
    """What the adapter's card says of its training. Languages that cannot be told from its rows are those of the base."""
    found = run.test or run.fit.validation
    figures = {} if found is None else {key: found.to_dict().get(key) for key in ("bits_per_byte", "perplexity")}
    of_base = None if run.base is None else run.base.bits_per_byte
    assert run.model is not None, "it was trained here"
    return ExpertCard(
        name=run.folder.name,
        tokenizer_sha256=tokenizer_sha256,
        kind="adapter",
        base=config.base,
        base_sha256=base.sha256,
        vocab_size=run.model.vocab_size,
        context=run.model.max_seq_len,
        languages=portrait.languages or tuple(base.languages),
        examples=portrait.examples,
        licence=base.licence,
        training={
            **{key: value for key, value in figures.items() if value is not None},
            **({} if of_base is None else {"base_bits_per_byte": of_base}),
            "measured_on": "test" if run.test is not None else "validation",
            "seq_len": block_of(config, run.model.max_seq_len),
            "steps": run.fit.steps,
            "best_step": run.fit.best_step,
            "epochs": run.fit.epochs,
            "train_tokens": train_tokens,
            "precision": run.fit.precision,
            "base_bits": config.base_bits,
            "adapter": config.adapter.to_dict(),
            "settings": config.training.to_dict(),
            **start.to_dict(),
        },
    )


_FIT: TypeAdapter[Any] = TypeAdapter(AdapterFit)
_TEST: TypeAdapter[Any] = TypeAdapter(Foretold | Preferred | None)
