"""`iai expert list [FOLDER]`. Reads configs alone, and no torch."""

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import NotAModelError
from interconnected_ai.storage import EXPERT, MANIFEST, read_json


@dataclass(frozen=True)
class _Row:
    name: str
    num_params: int
    vocab_size: int
    max_seq_len: int
    bits_per_byte: float | None


@click.command("list")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("experts"))
@with_output
def command(folder: Path, output: Output) -> None:
    """The experts in FOLDER (default: experts), with their sizes and how well they do on their own held-out text."""
    if not folder.is_dir():
        raise NotAModelError(
            f"no folder at {folder}; train an expert: iai expert train --text FILES --out {folder}/NAME"
        )
    rows = [_row(path.parent) for path in _manifests(folder) if _is_expert(path)]
    if rows:
        output.table(
            str(folder),
            ["expert", "parameters", "vocabulary", "window", "bits per byte"],
            [(r.name, r.num_params, r.vocab_size, r.max_seq_len, _spoken(r.bits_per_byte)) for r in rows],
        )
    else:
        output.say(f"No experts in {folder}. Train one: iai expert train --text FILES --out {folder}/NAME")
    output.result({"folder": str(folder), "experts": [asdict(row) for row in rows]})


def _manifests(folder: Path) -> list[Path]:
    """Those of the folders in it, or its own where it is an expert itself."""
    own = folder / MANIFEST
    return [own] if own.is_file() and _is_expert(own) else sorted(folder.glob(f"*/{MANIFEST}"))


def _is_expert(manifest: Path) -> bool:
    return read_json(manifest).get("kind") == EXPERT


def _row(folder: Path) -> _Row:
    from interconnected_ai.planner import expert_size

    path = folder / "config.json"
    content = read_json(path)
    config = ExpertConfig.from_mapping(content.get("model", {}), source=str(path))
    training = content.get("training")
    found = training.get("bits_per_byte") if isinstance(training, dict) else None
    known = found if isinstance(found, int | float) else None
    return _Row(folder.name, expert_size(config).num_params, config.vocab_size, config.max_seq_len, known)


def _spoken(bits_per_byte: float | None) -> str:
    return "?" if bits_per_byte is None else f"{bits_per_byte:.3f}"
