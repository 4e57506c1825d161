"""A run: the folder that `iai train` writes, from its config to the model that `iai predict` uses.

run.yaml, rows/ (hashes of the rows, and their sides), data_report.json, metrics.jsonl, logs/ (TensorBoard), checkpoints/,
features/, model/, results.json, origin.json (when, which version, which command), answers.json (single answers, no texts).
"""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from interconnected_ai.arguments import checked
from interconnected_ai.branches import Encoder, InterconnectedAISystem
from interconnected_ai.config import RunConfig
from interconnected_ai.data import Rows, Splits, report_on
from interconnected_ai.errors import ConfigError, MissingExtraError, StorageError
from interconnected_ai.storage import atomic_file, is_complete, refuse_same
from interconnected_ai.training.interruption import going_on_later
from interconnected_ai.training.origin import keep_origin
from interconnected_ai.training.run_folder import (
    drop_folder,
    owned,
    process_rank,
    refuse_busy_folder,
    write_json_safely,
)
from interconnected_ai.training.system.answers import answer_rows, keep_answers
from interconnected_ai.training.system.baseline import Baseline, measure_baselines
from interconnected_ai.training.system.encoder_choice import EncoderChoice, encoder_of_run, with_encoder
from interconnected_ai.training.system.fit import FitResult, fit
from interconnected_ai.training.system.metrics import BranchMetrics, metrics_of
from interconnected_ai.training.system.results import RESULTS, RunResults, read_results, write_results
from interconnected_ai.training.system.run_rows import keep_rows, kept_rows, record_of, shape_for, splits_of_run
from interconnected_ai.training.system.unseen import unseen

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """What a finished run leaves: the system, how its training went, its metrics on the test rows and the baseline's there.

    was_finished: it had been before it was resumed; nothing was trained or written.
    """

    folder: Path
    system: InterconnectedAISystem
    fit: FitResult
    test: dict[str, BranchMetrics]
    baseline: dict[str, Baseline] = field(default_factory=dict)
    was_finished: bool = False


@checked
def train_run(
    config: RunConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    new_rows: bool = False,
    relative_to: Path | None = None,
    splits: Splits | None = None,
    encoder: Encoder | None = None,
    baseline: bool = True,
) -> RunResult:
    """Read the data, train, measure on the test rows, save the model. Everything goes into `config.output`.

    Where the config names no encoder, the language of the training rows decides (`encoder_by_language`).
    resume: go on after an interruption, with the same rows; new_rows: or with these and more, which are split by their own
    hash while the old ones keep their sides. overwrite: drop what an earlier run left there. splits: rows already in memory,
    in place of reading `config.data`. baseline: False leaves out what `training.baseline` asks for.
    A finished run that is resumed without new rows is returned as it stands. Ctrl-C and SIGTERM raise `TrainingStoppedError`, a
    `KeyboardInterrupt` that says from which checkpoint the training goes on.

    Raises `StorageError` when the folder is taken and neither is asked for, `BusyError` while another training is at work
    there, `DataError` for other rows than those that a resumed run was begun with.
    """
    if new_rows and not resume:
        raise ConfigError("new_rows says what a resumed run may find; give resume with it, or leave it out")
    folder, is_main = Path(config.output), process_rank() == 0
    with owned(folder, is_main=is_main):
        if is_main:
            data = data_files(config, relative_to) if splits is None else ()
            refuse_taken_folder(folder, resume=resume, overwrite=overwrite, data=data)
        splits = splits_of_run(config, resume=resume, new_rows=new_rows, relative_to=relative_to, splits=splits)
        if resume and (kept := finished_results(config, splits)):
            system = InterconnectedAISystem.from_pretrained(folder / "model", encoder=encoder)
            return RunResult(folder, system, kept.fit, kept.test, kept.baseline, was_finished=True)
        result = _train(config, folder, is_main, resume, overwrite, new_rows, splits, encoder)
        if is_main and baseline and config.training.baseline:
            result = _with_baseline(result, splits)
        return result


def _train(
    config: RunConfig,
    folder: Path,
    is_main: bool,
    resume: bool,
    overwrite: bool,
    new_rows: bool,
    splits: Splits,
    encoder: Encoder | None,
) -> RunResult:
    choice = encoder_of_run(config, splits, encoder=encoder, resume=resume)
    if config.system.base_model_name is None and encoder is None:
        logger.info("encoder: %s", choice)
    config = with_encoder(config, choice)
    shape = shape_for(config, splits)
    system = InterconnectedAISystem.from_config(shape, encoder=encoder, seed=config.training.seed)
    if is_main and overwrite:
        drop_folder(folder)  # rows or an encoder that were refused have left the old run whole
    with going_on_later(folder):
        if is_main:
            folder.mkdir(parents=True, exist_ok=True)
            _check_same_run(folder, config, resume=resume)
            if not (resume and (folder / "origin.json").is_file()):
                keep_origin(folder / "origin.json")
            (folder / RESULTS).unlink(missing_ok=True)  # from here on the run is no finished one
            keep_rows(folder, config, splits)
            report = {report.name: asdict(report) for report in report_on(splits)}
            write_json_safely(folder / "data_report.json", report)
        result = fit(system, splits.train, splits.validation, config.training, folder, resume=resume, new_rows=new_rows)
        test = unseen(splits.test, system)  # a test file may hold rows of the others
        for sentence in test.told:
            logger.warning("test rows of %s", sentence)
        answered = answer_rows(system, test.rows) if len(test.rows) else {}
        measured = {name: metrics_of(found) for name, found in answered.items()}
        if is_main:
            system.save_pretrained(folder / "model")
            keep_answers(folder / "answers.json", system, answered)
            write_results(folder, RunResults(result, measured))
    return RunResult(folder, system, result, measured)


def _with_baseline(done: RunResult, splits: Splits) -> RunResult:
    """The result with the baseline, which is measured last: the run is whole without it, and no bit of it depends on it."""
    test = unseen(splits.test, done.system).rows
    if not len(test):
        return done
    try:
        found = measure_baselines(Rows.joined([splits.train, splits.validation]), test)
    except MissingExtraError as error:
        logger.warning("no baseline beside the results: %s", error)
        return done
    done = replace(done, baseline=found)
    write_results(done.folder, RunResults(done.fit, done.test, found))
    return done


@checked
def finished_results(config: RunConfig, splits: Splits) -> RunResults | None:
    """What a run of this config and these rows has measured when it ended; None where it has not ended, or not with these rows.

    Raises `ConfigError` where the run in `config.output` was begun with another config.
    """
    folder = Path(config.output)
    kept = kept_rows(folder)
    if not is_complete(folder / "model") or (kept is not None and kept != record_of(config, splits)):
        return None
    if not (folder / RESULTS).is_file():  # last: it goes before the record of new rows comes
        return None
    began = EncoderChoice.of_begun(RunConfig.from_file(folder / "run.yaml"))
    choice = replace(began, base_model_name=config.system.base_model_name or began.base_model_name)
    _check_same_run(folder, with_encoder(config, choice), resume=True)
    return read_results(folder)


@checked
def refuse_taken_folder(folder: Path, *, resume: bool, overwrite: bool, data: Iterable[Path] = ()) -> None:
    """Raise `StorageError` when a run's folder is taken and nobody said what to do with what is there, `BusyError` while
    another training is at work there. Changes nothing.

    data: files that the run will read; a new run in a folder that holds one of them is a `ConfigError`, since the folder goes.
    """
    if resume and overwrite:
        raise ConfigError("resume and overwrite exclude each other; choose one")
    refuse_busy_folder(folder)
    if not resume:
        refuse_same(folder, *data, name="output")
    if not folder.exists() or resume or not any(folder.iterdir()):
        return
    if not (folder / "run.yaml").is_file():
        raise StorageError(f"{folder} exists and is no run of ours; choose another output folder")
    if not overwrite:
        state = "a finished run" if is_complete(folder / "model") else "an unfinished run"
        raise StorageError(
            f"{folder} holds {state}; use --resume to go on with it, --overwrite to drop it, or another output"
        )


@checked
def data_files(config: RunConfig, relative_to: Path | None = None) -> list[Path]:
    """The tables that the config names, as far as they are files."""
    sources = [config.data.table] if config.data.table else config.data.branches
    named = [path for each in sources for path in (each.path, each.validation, each.test) if path is not None]
    return [Path(relative_to or "", path) for path in named if not path.startswith("hf:")]


def _check_same_run(folder: Path, config: RunConfig, *, resume: bool) -> None:
    """Keep the run's config; a resumed run must have the one it began with."""
    kept = folder / "run.yaml"
    if resume and kept.is_file():
        began = RunConfig.from_file(kept).with_changes(output=config.output)
        if with_encoder(began, EncoderChoice.of_begun(began)) != config:
            raise ConfigError(
                f"{kept} differs from the config given; resume with the same config, or train into another folder"
            )
        return
    with atomic_file(kept) as scratch:
        scratch.write_text(config.to_yaml(), encoding="utf-8")
