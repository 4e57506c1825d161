"""A whole training of an expert: from text files to the folder that `iai generate` opens.

The expert stands in `output`, its training in a folder beside it, OUTPUT-training: run.yaml, tokenizer.json, corpus/ (the
tokenised text), text_report.json, metrics.jsonl, samples.jsonl, logs/ (TensorBoard), checkpoints/, results.json.
"""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from interconnected_ai.arguments import checked
from interconnected_ai.config import ExpertRunConfig
from interconnected_ai.data import Corpus, CorpusPlan, Survey, Texts, survey
from interconnected_ai.errors import TokenizerError
from interconnected_ai.experts import ExpertCard, ExpertModel, load_expert, load_tokenizer, save_expert
from interconnected_ai.storage import is_complete, read_json
from interconnected_ai.text import Tokenizer
from interconnected_ai.training.computing import open_processes
from interconnected_ai.training.expert.fit import ExpertFit, fit_expert
from interconnected_ai.training.expert.pace import within
from interconnected_ai.training.expert.perplexity import Perplexity, held_out, measure
from interconnected_ai.training.expert.samples import Samples
from interconnected_ai.training.expert.start import begun_from, first_model, require_fitting
from interconnected_ai.training.interruption import going_on_later
from interconnected_ai.training.outputs import beside, gone_if_refused, keep_config, refuse_taken
from interconnected_ai.training.prepared_text import is_prepared, portrait, prepare, prepared, tell_of_changed_text
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


@dataclass(frozen=True)
class ExpertRun:
    """What a finished training leaves. test: of held-out documents that nothing was chosen by, if there are any. was_finished:
    it had been before it was resumed; nothing was trained or written.
    """

    folder: Path
    training_folder: Path
    model: ExpertModel
    tokenizer: Tokenizer
    corpus: Corpus
    fit: ExpertFit
    test: Perplexity | None
    was_finished: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "expert": str(self.folder),
            "training": str(self.training_folder),
            "num_params": self.model.get_num_params(),
            "vocab_size": self.tokenizer.vocab_size,
            "text": self.corpus.report.to_dict(),
            "fit": fit_to_dict(self.fit),
            "test": None if self.test is None else self.test.to_dict(),
        }


@checked
def train_expert(
    config: ExpertRunConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    minutes: float | None = None,
    surveyed: Survey | None = None,
    tokenizer: Tokenizer | None = None,
) -> ExpertRun:
    """Read the text, train a tokenizer unless there is one, train the expert, measure it, save it to `config.output`.

    resume: go on after an interruption, on the text as it was read then. overwrite: drop what an earlier training left.
    minutes: as many steps as fit into them, found by timing a few; a resumed training ends where it would have. surveyed,
    tokenizer: at hand already, in place of `config.text` and `config.tokenizer`.
    A finished training that is resumed is returned as it stands. Ctrl-C and SIGTERM raise `TrainingStoppedError`, a
    `KeyboardInterrupt` that says from which checkpoint it goes on.
    Raises `StorageError` when the folder is taken and neither is asked for, `BusyError` while another training is at work
    there; see `Corpus.prepare` and `fit_expert` for the rest.
    """
    folder = training_folder(config)
    if process_rank() == 0:
        refuse_busy_folder(folder)
    processes = open_processes(config.training.device, config.training.precision, folder, resume=resume)
    with owned(folder, is_main=processes.is_main):
        return _train(config, folder, processes, resume, overwrite, minutes, surveyed, tokenizer)


def _train(
    config: ExpertRunConfig,
    folder: Path,
    processes: Processes,
    resume: bool,
    overwrite: bool,
    minutes: float | None,
    surveyed: Survey | None,
    tokenizer: Tokenizer | None,
) -> ExpertRun:
    output = Path(config.output)
    if processes.is_main:
        refuse_taken_folders(config, resume=resume, overwrite=overwrite)
        if not resume and (folder / "run.yaml").is_file():
            surveyed = surveyed or survey(Texts.of_config(config.text))
            tokenizer = tokenizer or _tokenizer(config, surveyed)  # what is refused here leaves the old training whole
            require_fitting(config, tokenizer)
            drop_folder(folder)
    with going_on_later(folder):
        if processes.is_main:
            with gone_if_refused(folder):
                _prepare(folder, config, resume, surveyed, tokenizer)
        processes.wait()
        words, corpus = Tokenizer.load(folder / _TOKENIZER), prepared(folder)
        assert corpus is not None, "the text was prepared above"
        if resume and _is_finished(output, folder):
            return _kept_run(output, folder, corpus)
        return _fitted(config, folder, processes, resume, minutes, words, corpus)


def _prepare(
    folder: Path, config: ExpertRunConfig, resume: bool, surveyed: Survey | None, tokenizer: Tokenizer | None
) -> None:
    """Config and text of a training in its folder, as files; the main process does so."""
    keep_config(folder, config, resume=resume)
    if not is_prepared(folder):
        _prepare_text(folder, config, surveyed, tokenizer)
    elif resume:
        tell_of_changed_text(folder, config.text, Tokenizer.load(folder / _TOKENIZER), surveyed)
    if not (resume and _is_finished(Path(config.output), folder)):
        (folder / _RESULTS).unlink(missing_ok=True)  # of an expert that has gone since
        _require_a_batch(folder, config)
        begun_from(folder, config, Tokenizer.load(folder / _TOKENIZER), resume=resume)


def _fitted(
    config: ExpertRunConfig,
    folder: Path,
    processes: Processes,
    resume: bool,
    minutes: float | None,
    words: Tokenizer,
    corpus: Corpus,
) -> ExpertRun:
    output, start = Path(config.output), Start.kept_in(folder)
    model = first_model(folder, config, words, resume=resume)
    config = _paced(minutes, config, model, corpus, processes)
    fit = fit_expert(
        model,
        corpus.train.tokens,
        held_out(corpus.validation, most_tokens=config.training.evaluation_tokens),
        config.training,
        folder,
        resume=resume,
        sample=_samples(config, folder, words),
    )
    test = held_out(corpus.test)
    run = ExpertRun(
        output, folder, model, words, corpus, fit,
        test=None if test is None else measure(model, test, seq_len=config.training.seq_len),
    )  # fmt: skip
    if processes.is_main:
        shown = portrait(corpus, words)
        card = ExpertCard(
            output.name,
            words.sha256,
            {**_card(run, config), **start.to_dict()},
            languages=shown.languages,
            examples=shown.examples,
        )
        save_expert(model, output, words, card)
        write_json_safely(folder / _RESULTS, run.to_dict())
    return run


def _is_finished(output: Path, folder: Path) -> bool:
    return is_complete(output) and (folder / _RESULTS).is_file()


def _kept_run(output: Path, folder: Path, corpus: Corpus) -> ExpertRun:
    """A finished training as it stands on the disk."""
    path, (model, tokenizer, _) = folder / _RESULTS, load_expert(output)
    kept = content_of(path)
    fit, test = kept.get("fit"), kept.get("test")
    for measured in (test, fit.get("validation") if isinstance(fit, dict) else None):
        if isinstance(measured, dict) and {"loss", "num_tokens"} <= set(measured):
            measured.setdefault("nats", measured["loss"] * measured["num_tokens"])  # as older versions wrote it
    fit, test = as_record(path, fit, _FIT), as_record(path, test, _TEST)
    return ExpertRun(output, folder, model, tokenizer, corpus, fit, test, was_finished=True)


@checked
def training_folder(config: ExpertRunConfig) -> Path:
    """Where checkpoints, curves and prepared text of a training stand: beside the expert."""
    return beside(Path(config.output))


@checked
def refuse_taken_folders(config: ExpertRunConfig, *, resume: bool = False, overwrite: bool = False) -> None:
    """Raise `StorageError` where an expert or a training stands and nobody said what to do with it. Changes nothing.

    `ConfigError` where one of them is, lies in or contains the text or the tokenizer that the expert is to learn from.
    """
    refuse_taken(Path(config.output), _sources(config), resume=resume, overwrite=overwrite)


def _sources(config: ExpertRunConfig) -> list[str]:
    """Files and folders that a training reads."""
    text, others = config.text, (config.tokenizer, config.init)
    return [*text.paths, *text.validation, *text.test, *(place for place in others if place is not None)]


def kept_corpus(expert: Path) -> Corpus | None:
    """The tokenised text that an expert's training left beside it, if it is there."""
    return prepared(beside(expert))


def fit_to_dict(fit: ExpertFit) -> dict[str, Any]:
    """Plain values, ready for JSON."""
    validation = None if fit.validation is None else fit.validation.to_dict()
    return {**asdict(fit), "tokens_per_second": fit.tokens_per_second, "validation": validation}


_TOKENIZER, _RESULTS = "tokenizer.json", "results.json"
_FIT: TypeAdapter[Any] = TypeAdapter(ExpertFit)
_TEST: TypeAdapter[Any] = TypeAdapter(Perplexity | None)


def _prepare_text(folder: Path, config: ExpertRunConfig, surveyed: Survey | None, tokenizer: Tokenizer | None) -> None:
    """Tokenizer and tokenised text as files; the report comes last and says that they are whole."""
    found = surveyed or survey(Texts.of_config(config.text))
    words = tokenizer or _tokenizer(config, found)
    words.save(folder / _TOKENIZER)
    prepare(folder, found, words)


def _require_a_batch(folder: Path, config: ExpertRunConfig) -> None:
    """Raise `DataError` where the prepared text does not fill one batch."""
    corpus, training = prepared(folder), config.training
    assert corpus is not None, "the text was prepared"
    CorpusPlan(
        len(corpus.train.tokens), training.seq_len or config.model.max_seq_len, training.batch_size, training.seed
    )


def _tokenizer(config: ExpertRunConfig, found: Survey) -> Tokenizer:
    if config.tokenizer is None and config.init is None:
        return Tokenizer.train(found.training_texts(), config.model.vocab_size, roles=config.roles)
    path = Path(str(config.tokenizer or config.init))
    if config.tokenizer is None:
        words = load_tokenizer(str(config.init))
    else:
        words = Tokenizer.load(path / _TOKENIZER if path.is_dir() else path)
    if missing := [role for role in config.roles if role not in words.roles]:
        raise TokenizerError(
            f"the tokenizer {path} has no role {missing[0]!r}; add it there first, or leave it out here"
        )
    return words


def _paced(
    minutes: float | None, config: ExpertRunConfig, model: ExpertModel, corpus: Corpus, processes: Processes
) -> ExpertRunConfig:
    """The config with as many steps as fit into `minutes`; a resumed training has those it began with."""
    kept = training_folder(config) / "paced.json"
    if minutes is not None and not kept.is_file():
        training = within(minutes, model, corpus.train.tokens, config.training, kept.with_name("pacing"))
        processes.wait()  # all have read what was learnt there
        if processes.is_main:
            _log.info("%g minutes: %d steps, by timing a few", minutes, training.max_steps)
            drop_folder(kept.with_name("pacing"))
            write_json_safely(kept, training.to_dict())
        processes.wait()  # all take the main process's number: their clocks differ
    return config.with_changes(training=read_json(kept)) if kept.is_file() else config


def _samples(config: ExpertRunConfig, folder: Path, words: Tokenizer) -> Samples | None:
    if not config.training.samples:
        return None
    return Samples(folder / "samples.jsonl", words, config.training.samples, config.training.sample_tokens)


def _card(run: ExpertRun, config: ExpertRunConfig) -> dict[str, Any]:
    """What the expert's card says of its training."""
    train = run.corpus.report.sides[0]
    found = run.test or run.fit.validation
    figures = {} if found is None else {"bits_per_byte": found.bits_per_byte, "perplexity": found.perplexity}
    return {
        **figures,
        "measured_on": "test" if run.test is not None else "validation",
        "seq_len": config.training.seq_len or run.model.config.max_seq_len,
        "steps": run.fit.steps,
        "best_step": run.fit.best_step,
        "epochs": run.fit.epochs,
        "train_tokens": train.num_tokens,
        "train_bytes": train.num_bytes,
        "precision": run.fit.precision,
        "settings": config.training.to_dict(),
    }
