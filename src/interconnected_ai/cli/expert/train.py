"""`iai expert train --text FILES --out experts/NAME`."""

import shlex
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
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import OutputPath, Source
from interconnected_ai.cli.settings import OF_A_TRAINING, seed_option, set_option
from interconnected_ai.config import ExpertRunConfig, settings_of, with_settings

if TYPE_CHECKING:
    from interconnected_ai.training import ExpertRun

DEFAULT_PRESET, DEFAULT_WINDOW = "small", 256

# flag → key of the config
_MODEL = {
    "vocab_size": "vocab_size", "d_model": "d_model", "layers": "n_layers", "heads": "n_heads", "d_ff": "d_ff",
    "seq_len": "max_seq_len", "dropout": "dropout", "norm": "norm", "tie_weights": "tie_weights",
}  # fmt: skip
_TRAINING = {
    "epochs": "epochs", "steps": "max_steps", "batch_size": "batch_size", "lr": "lr", "seed": "seed", "device": "device",
    "precision": "precision", "accumulation_steps": "accumulation_steps", "patience": "patience",
    "gradient_checkpointing": "gradient_checkpointing", "compile": "compile",
}  # fmt: skip


@click.command("train")
@click.option(
    "--text",
    "text",
    type=Source(),
    multiple=True,
    metavar="FILES",
    help="Text to learn from: files, folders, hf:…, docs:…",
)
@click.argument("more", type=Source(), nargs=-1, metavar="[FILES]...")
@click.option("--column", help="Column or key of the text in tables.  [default: text]")
@click.option("--unit", type=click.Choice(["file", "paragraph", "line"]), help="What one document of a text file is.")
@click.option("--out", type=OutputPath(may_stand=True), help="The expert's folder, such as experts/NAME.")
@click.option(
    "--config", "file", type=click.Path(path_type=Path), help="YAML or JSON with all settings; flags go before it."
)
@click.option("--preset", help=f"The document's sizes: tiny, small, medium or large.  [default: {DEFAULT_PRESET}]")
@click.option(
    "--tokenizer",
    type=Source(),
    help="A tokenizer.json, or an expert that has one.  [default: one is trained on the text]",
)
@click.option(
    "--init",
    type=Source(),
    metavar="EXPERT",
    help="An expert whose weights, shape and tokenizer it begins with.  [default: random weights]",
)
@click.option("--role", "roles", multiple=True, help="A role token for a tokenizer that is trained; repeatable.")
@click.option("--vocab-size", type=int, help="Most tokens of a tokenizer that is trained.")
@click.option("--d-model", type=int, help="Width.")
@click.option("--layers", type=int, help="Transformer blocks.")
@click.option("--heads", type=int, help="Attention heads.")
@click.option("--d-ff", type=int, help="Hidden size of the feed-forward block.  [default: 4 × d_model]")
@click.option("--seq-len", type=int, help=f"Window in tokens, for training and use.  [default: {DEFAULT_WINDOW}]")
@click.option("--dropout", type=float, help="Dropout rate.")
@click.option("--norm", type=click.Choice(["pre", "post"]), help="Where the layer norms stand.  [default: pre]")
@click.option("--tie-weights/--no-tie-weights", default=None, help="Whether the head is the embedding's matrix.")
@click.option("--epochs", type=int, help="Passes over the text.")
@click.option("--steps", type=int, help="Most optimiser steps.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="As many steps as fit, by timing a few.")
@click.option("--batch-size", type=int, help="Windows in one optimiser step.")
@click.option("--accumulation-steps", type=int, help="Parts a batch is computed in, to save memory.")
@click.option("--gradient-checkpointing", is_flag=True, default=None, help="Save memory, compute blocks twice.")
@click.option("--compile", is_flag=True, default=None, help="torch.compile.")
@click.option("--lr", type=float, help="Highest learning rate.  [default: by width and norm]")
@click.option("--patience", type=int, help="Evaluations without progress before it stops.")
@seed_option(OF_A_TRAINING)
@click.option("--device", help="auto, cpu, cuda or mps.")
@click.option("--precision", help="auto, float32, bfloat16 or float16.")
@click.option("--sample", "samples", multiple=True, help="A prompt that is continued at every evaluation; repeatable.")
@set_option
@click.option("--resume", is_flag=True, help="Go on with an interrupted training; --out alone is enough.")
@click.option("--overwrite", is_flag=True, help="Drop what an earlier training left there.")
@alternatives("minutes", "steps")
@alternatives("minutes", "epochs")
@alternatives("tokenizer", "vocab_size")
@alternatives("init", "vocab_size")
@alternatives("init", "preset")
@with_output
def command(resume: bool, overwrite: bool, output: Output, **given: Any) -> None:
    """Train an expert on text and write it to --out.

    FILES are text files, tables (.jsonl, .csv, .tsv, .parquet), folders of these, hf:NAME (a dataset on the hub) or
    docs:LIBRARY (the docstrings of stdlib, numpy, torch or sklearn as they are installed). A part of the documents is held
    out: some to choose the best weights by, some to measure on at the end. Without --tokenizer one is trained on the rest.

    Checkpoints and curves go to a folder beside the expert, OUT-training. `accelerate launch -m interconnected_ai.cli expert
    train …` runs it on several processes.
    """
    config = resumed(ExpertRunConfig, given) if resume and is_bare(given) else _config(given)
    from interconnected_ai.training import process_rank, train_expert

    with naming_what_goes_on():
        run = train_expert(config, resume=resume, overwrite=overwrite, minutes=given["minutes"])
    if process_rank() != 0:
        return
    if run.was_finished:
        output.say(f"{run.folder} was finished already; nothing was trained or written. --overwrite trains it anew.")
    _tell_text(run, output)
    found = run.test or run.fit.validation
    if found is not None:
        what = "test documents" if run.test is not None else "validation documents"
        output.table(
            "Held out",
            ["", "documents", "tokens", "bytes", "perplexity", "bits per byte"],
            [(what, found.num_documents, found.num_tokens, found.num_bytes, found.perplexity, found.bits_per_byte)],
        )
    output.say(
        f"{run.model.get_num_params():,} parameters, {run.fit.steps} steps in {run.fit.train_seconds:.1f} s "
        f"({run.fit.tokens_per_second:,.0f} tokens per second) on {run.fit.device} in {run.fit.precision}; the weights "
        f"of step {run.fit.best_step} are kept",
        f'Expert: {run.folder}. Try: iai generate {shlex.quote(str(run.folder))} "Return the"',
    )
    output.result({**run.to_dict(), "was_finished": run.was_finished})


def _tell_text(run: "ExpertRun", output: Output) -> None:
    """What was read: documents, bytes, tokens, copies, languages."""
    whole = run.corpus.report.total
    languages = ", ".join(f"{name} {100 * share:.0f} %" for name, share in whole.language_shares().items())
    output.say(
        f"{whole.num_documents:,} documents, {whole.num_bytes:,} bytes, {whole.num_tokens or 0:,} tokens ({languages}); "
        f"{whole.num_duplicates:,} copies left out. All of it: {run.training_folder / 'text_report.json'}"
    )


def _config(given: dict[str, Any]) -> ExpertRunConfig:
    """The config's settings with the flags before them, and --set before all."""
    timed = settings_of(given["assignments"]).get("training", {})
    if (
        given["minutes"] is not None
        and isinstance(timed, dict)
        and not timed.keys().isdisjoint(("max_steps", "epochs"))
    ):
        raise click.UsageError(
            "--minutes chooses the steps; leave it out, or --set training.max_steps and training.epochs"
        )
    file: Path | None = given["file"]
    settings = {"model": {}, "training": {}, "text": {}, **settings_of_file(file)}
    if file:
        _make_absolute(settings, file.parent)
    if texts := [*given["text"], *given["more"]]:
        settings["text"] = {**settings["text"], "paths": [absolute(path, Path()) for path in texts]}
    flags = {"text": given["column"], "unit": given["unit"]}
    settings["text"] |= {key: value for key, value in flags.items() if value is not None}
    if given["out"] is not None:
        settings["output"] = str(given["out"])
    if not settings["text"].get("paths"):
        raise click.UsageError("give text to learn from: --text FILES, or --config FILE")
    if "output" not in settings:
        raise click.UsageError("say where the expert goes: --out experts/NAME")
    if given["tokenizer"] is not None:
        settings["tokenizer"] = str(Path(given["tokenizer"]).resolve())
    if given["init"] is not None:
        settings["init"] = expert_place(given["init"], Path())
    if given["roles"]:
        settings["roles"] = list(given["roles"])
    settings["model"] = _shape(settings["model"], given, has_file=file is not None, init=settings.get("init"))
    training = given_keys(given, _TRAINING)
    if given["samples"]:
        training["samples"] = list(given["samples"])
    settings["training"] = {**settings["training"], **training}
    settings = with_settings(ExpertRunConfig, settings, given["assignments"])
    _make_absolute(settings, Path())
    return ExpertRunConfig.from_mapping(settings, source=str(file or "iai expert train"))


def _shape(settings: dict[str, Any], given: dict[str, Any], *, has_file: bool, init: object) -> dict[str, Any]:
    """The model's shape: that of the expert it begins with, or a preset (the small one, where neither it nor a config is
    given), then the flags.
    """
    flags = given_keys(given, _MODEL)
    if isinstance(init, str):
        from interconnected_ai.training import shape_of_init

        return {**shape_of_init(init).to_dict(), **settings, **flags}
    if given["preset"] is None and has_file:
        return {**settings, **flags}
    from interconnected_ai.planner import expert_preset

    shape = expert_preset(given["preset"] or DEFAULT_PRESET)
    sizes = {key: getattr(shape, key) for key in ("vocab_size", "d_model", "n_layers", "n_heads")}
    return {"max_seq_len": DEFAULT_WINDOW, "norm": "pre", **settings, **sizes, **flags}


def _make_absolute(settings: dict[str, Any], folder: Path) -> None:
    """Paths in a config are relative to its folder."""
    make_sources_absolute(settings, ("text",), folder)
    if isinstance(path := settings.get("tokenizer"), str):
        settings["tokenizer"] = absolute(path, folder)
    if isinstance(place := settings.get("init"), str):
        settings["init"] = expert_place(place, folder)
