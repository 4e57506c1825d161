"""`iai expert adapt --base smollm2 --text FILES --out experts/NAME`."""

import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interconnected_ai.cli.alternatives import alternatives
from interconnected_ai.cli.expert.run_config import (
    absolute,
    expert_place,
    given_keys,
    is_bare,
    make_sources_absolute,
    resumed,
    settings_of_file,
)
from interconnected_ai.cli.interruption import naming_what_goes_on
from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.outputs import OutputPath, Source
from interconnected_ai.cli.settings import OF_A_TRAINING, seed_option, set_option
from interconnected_ai.config import AdapterRunConfig, with_settings

if TYPE_CHECKING:
    from interconnected_ai.training import AdapterRun, Foretold

DEFAULT_BASE = "smollm2"
_KINDS = ("text", "chats", "preferences")  # of what is learnt from
_RATE_OF_PREFERENCES = 1e-4  # unless one is named: DPO's gradient is that of whole answers

# flag → key of the config
_ADAPTER = {"rank": "rank", "alpha": "alpha", "dropout": "dropout"}
_TRAINING = {
    "epochs": "epochs", "steps": "max_steps", "batch_size": "batch_size", "seq_len": "seq_len", "lr": "lr", "seed": "seed",
    "device": "device", "precision": "precision", "accumulation_steps": "accumulation_steps", "patience": "patience",
    "gradient_checkpointing": "gradient_checkpointing",
}  # fmt: skip


@click.command("adapt")
@click.option(
    "--base",
    type=Source(),
    help=f"What to stand on: {DEFAULT_BASE} (English), a folder, a GGUF file, a hub id.  [default: {DEFAULT_BASE}]",
)
@click.option(
    "--text", "text", type=Source(), multiple=True, metavar="FILES",
    help="Text to go on with: files, folders, hf:…, docs:…",
)  # fmt: skip
@click.option(
    "--chat", "chats", type=Source(), multiple=True, metavar="FILE",
    help="Conversations to learn the answers of: OpenAI, ShareGPT or Alpaca.",
)  # fmt: skip
@click.option(
    "--preferences", "preferences", type=Source(), multiple=True, metavar="FILE",
    help="Pairs of a chosen and a rejected answer (DPO).",
)  # fmt: skip
@click.option(
    "--init", type=Source(), metavar="ADAPTER",
    help="An adapter of the same base whose matrices, and rank, it begins with.  [default: one that changes nothing]",
)  # fmt: skip
@click.option("--beta", type=float, help="Of preferences: how dear it is to leave the base.  [default: 0.1]")
@click.option("--column", help="Column or key of the text in tables.  [default: text]")
@click.option("--unit", type=click.Choice(["file", "paragraph", "line"]), help="What one document of a text file is.")
@click.option("--out", type=OutputPath(may_stand=True), help="The adapter's folder, such as experts/NAME.")
@click.option(
    "--config", "file", type=click.Path(path_type=Path), help="YAML or JSON with all settings; flags go before it."
)
@click.option("--rank", type=int, help="Rank of the adapter's matrices.  [default: 16]")
@click.option("--alpha", type=float, help="Its scale, over the rank.  [default: 2 × rank]")
@click.option("--dropout", type=float, help="Dropout rate of what the adapter reads.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    help="A layer to adapt, such as q_proj; repeatable.  [default: all linear ones]",
)
@click.option("--base-bits", type=click.Choice(["4"]), help="Keep the base in 4 bits (NF4) meanwhile.")
@click.option("--epochs", type=int, help="Passes over the data.")
@click.option("--steps", type=int, help="Most optimiser steps.")
@click.option("--batch-size", type=int, help="Blocks in one optimiser step.")
@click.option("--seq-len", type=int, help="Tokens of a block.  [default: 512]")
@click.option("--accumulation-steps", type=int, help="Parts a batch is computed in, to save memory.")
@click.option("--gradient-checkpointing", is_flag=True, default=None, help="Save memory, compute layers twice.")
@click.option("--lr", type=float, help="Highest learning rate.")
@click.option("--patience", type=int, help="Evaluations without progress before it stops.")
@seed_option(OF_A_TRAINING)
@click.option("--device", help="auto, cpu, cuda or mps.")
@click.option("--precision", help="auto, float32, bfloat16 or float16.")
@set_option
@click.option("--resume", is_flag=True, help="Go on with an interrupted training; --out alone is enough.")
@click.option("--overwrite", is_flag=True, help="Drop what an earlier training left there.")
@alternatives("text", "chats")
@alternatives("text", "preferences")
@alternatives("chats", "preferences")
@with_output
def command(resume: bool, overwrite: bool, output: Output, **given: Any) -> None:
    """Train a LoRA adapter on a pretrained base and write it to --out: an expert of some MB that shares its base with others.

    FILES are text files, tables (.jsonl, .csv, .tsv, .parquet), folders of these, hf:NAME (a dataset on the hub) or
    docs:LIBRARY (the docstrings of stdlib, numpy, torch or sklearn as they are installed). A part of the documents is held
    out: some to choose the best weights by, some to measure on in the end, with and without the adapter.

    Conversations and preferences are JSON lines, JSON, Parquet or CSV, told apart by what stands in a row. Of conversations
    the answers alone are learnt; from preferences an adapter learns to find the chosen answers likelier than the rejected
    ones (DPO), with the base as its reference.

    Checkpoints and curves go to a folder beside the adapter, OUT-training. `accelerate launch -m interconnected_ai.cli expert
    adapt …` runs it on several processes.
    """
    config = resumed(AdapterRunConfig, given) if resume and is_bare(given) else _config(given)
    from interconnected_ai.training import process_rank, train_adapter

    with naming_what_goes_on():
        run = train_adapter(config, resume=resume, overwrite=overwrite)
    if process_rank() == 0:
        _tell(run, output)


def _tell(run: "AdapterRun", output: Output) -> None:
    from interconnected_ai.training import Foretold, Preferred

    if run.was_finished:
        output.say(f"{run.folder} was finished already; nothing was trained or written. --overwrite trains it anew.")
    rows = [
        (who, found.num_tokens, found.to_dict()["perplexity"], *_bits(found))
        for who, found in (("the base alone", run.base), ("adapted", run.test or run.fit.validation))
        if isinstance(found, Foretold)
    ]
    if isinstance(told := run.fit.validation, Preferred):
        output.say(
            f"{percent(told.accuracy)} % of {told.num_pairs} held-out pairs the right way round, loss {told.loss:.3f} "
            "(guessing: 50 %, 0.693)"
        )
    if rows:
        output.table("Held out", ["", "tokens", "perplexity", "bits per byte"][: len(rows[0])], rows)
    typed = shlex.quote(str(run.folder))
    output.say(
        f"{run.num_params:,} parameters in the adapter, {run.fit.steps} steps in {run.fit.train_seconds:.1f} s "
        f"({run.fit.tokens_per_second:,.0f} tokens per second) on {run.fit.device} in {run.fit.precision}; the weights "
        f"of step {run.fit.best_step} are kept",
        f"Adapter: {run.folder}. Try: "
        + (f'iai generate {typed} "Return the"' if run.base is not None else f"iai chat {typed}"),
    )
    output.result({**run.to_dict(), "was_finished": run.was_finished})


def _bits(found: "Foretold") -> tuple[float, ...]:
    """Bits per byte, of documents or of answers; nothing where that was not measured."""
    return () if found.bits_per_byte is None else (found.bits_per_byte,)


def config_in(file: Path, assignments: Sequence[str] = ()) -> AdapterRunConfig:
    """The config in a file, as `iai expert adapt --config FILE` reads it."""
    return _config(defaultdict(lambda: None, file=file, assignments=tuple(assignments)))


def _config(given: Mapping[str, Any]) -> AdapterRunConfig:
    """The config's settings with the flags before them, and --set before all."""
    file: Path | None = given["file"]
    settings = {"adapter": {}, "training": {}, **settings_of_file(file)}
    if file:
        make_sources_absolute(settings, _KINDS, file.parent)
        if isinstance(settings.get("init"), str):
            settings["init"] = expert_place(settings["init"], file.parent)
    _add_sources(settings, given)
    if given["out"] is not None:
        settings["output"] = str(given["out"])
    if "output" not in settings:
        raise click.UsageError("say where the adapter goes: --out experts/NAME")
    base = given["base"] or settings.get("base") or DEFAULT_BASE
    settings["base"] = str(Path(base).resolve()) if Path(base).exists() else base
    if given["init"] is not None:
        settings["init"] = expert_place(given["init"], Path())
    if given["base_bits"] is not None:
        settings["base_bits"] = int(given["base_bits"])
    for part, flags in (("adapter", _ADAPTER), ("training", _TRAINING)):
        settings[part] = {**settings[part], **given_keys(given, flags)}
    if isinstance(settings.get("init"), str) and "rank" not in settings["adapter"]:
        settings["adapter"] |= _rank_of(settings["init"])
    if given["targets"]:
        settings["adapter"]["targets"] = list(given["targets"])
    settings = with_settings(AdapterRunConfig, settings, given["assignments"])
    make_sources_absolute(settings, _KINDS, Path())
    return AdapterRunConfig.from_mapping(settings, source=str(file or "iai expert adapt"))


def _rank_of(adapter: str) -> dict[str, int]:
    from interconnected_ai.experts import read_adapter

    return {"rank": read_adapter(adapter).weights.rank}


def _add_sources(settings: dict[str, Any], given: Mapping[str, Any]) -> None:
    """What is learnt from, by the flag of its kind; another kind in the config gives way."""
    for kind in _KINDS:
        if paths := given[kind]:
            for other in _KINDS:
                if other != kind:
                    settings.pop(other, None)
            settings[kind] = {**(settings.get(kind) or {}), "paths": [absolute(path, Path()) for path in paths]}
    flags = {"text": given["column"], "unit": given["unit"]}
    of_text = {key: value for key, value in flags.items() if value is not None}
    if of_text:
        if not isinstance(settings.get("text"), dict):
            raise click.UsageError(
                "--column and --unit say something of text alone; give --text FILES, or leave them out"
            )
        settings["text"] |= of_text
    if given["beta"] is not None:
        if not isinstance(settings.get("preferences"), dict):
            raise click.UsageError(
                "--beta says something of preferences alone; give --preferences FILE, or leave it out"
            )
        settings["preferences"] |= {"beta": given["beta"]}
    if given["preferences"]:
        settings["training"] = {"lr": _RATE_OF_PREFERENCES, **settings["training"]}
    if not any(settings.get(kind) for kind in _KINDS):
        raise click.UsageError(
            "give something to learn from: --text FILES, --chat FILE, --preferences FILE, or --config FILE"
        )
