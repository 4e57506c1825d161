"""A run's config as YAML for people: what is set and why, and every other setting behind a `#` with what it does."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from interconnected_ai.config import Record, RunConfig
from interconnected_ai.planner import Hyperparameter, hyperparameters

_WIDTH = 110
_SAMPLE_CHARACTERS = 80

# Settings that change no quality, so that `iai plan explain` does not know them.
_OTHERS = {
    "system.ffn": "What stands in the shared layers: moe, or dense (the twin for comparisons).",
    "data.validation_fraction": "Held out to stop by and to calibrate on.",
    "data.test_fraction": "Held out to measure on; read once, after the training.",
    "data.split_seed": "Which rows are held out.",
    "training.seed": "Of weights, batches and dropout.",
    "training.device": "auto, cpu, cuda or mps.",
    "training.checkpoint_every_steps": "How much work an interruption can cost.",
    "training.keep_checkpoints": "How many are kept, besides the best epoch's weights.",
    "training.monitors": "tensorboard, wandb, both or none: [].",
    "training.feature_cache": "A folder for the encoder's outputs that several runs share; null is `features` in the run's.",
}
# Written out although they have their defaults: what one changes first.
_ALWAYS = (
    "system.base_model_name",
    "training.epochs",
    "training.batch_size",
    "training.seed",
    "data.validation_fraction",
    "data.test_fraction",
)


def commented_yaml(
    config: RunConfig, *, head: Sequence[str], reasons: Mapping[str, str], sources: Mapping[str, Sequence[str]]
) -> str:
    """The YAML. `RunConfig.from_file` reads it back to an equal config, also when any `#` before a key is taken away.

    head: lines above everything. reasons: setting → why it is so. sources: branch → lines on its rows; those of a table that
    is shared by several stand under the first.
    """
    lines = [f"# {one_line(line)}".rstrip() for line in head]
    lines += ["", f"output: {_scalar(config.output)}{_because(reasons, 'output')}", "", "data:"]
    lines += [*_rows(config, sources, reasons), *_section(config.data, "data", reasons, ("branches", "table"))]
    for name, record in (("system", config.system), ("training", config.training)):
        lines += ["", f"{name}:", *_section(record, name, reasons, ("branches",))]
        if name == "system" and config.system.branches:
            lines += _block({"branches": config.to_dict()["system"]["branches"]})
    return "\n".join(lines) + "\n"


def one_line(text: str) -> str:
    """A text as a comment can hold it: no line breaks, nothing that YAML forbids."""
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))


def sample_line(text: str, label: str) -> str:
    """One labelled row, for people."""
    shown = one_line(text)
    shown = shown if len(shown) <= _SAMPLE_CHARACTERS else f"{shown[:_SAMPLE_CHARACTERS]}…"
    return f"a row: {shown!r} is {one_line(label)!r}"


def _rows(config: RunConfig, sources: Mapping[str, Sequence[str]], reasons: Mapping[str, str]) -> Iterator[str]:
    if config.data.table is not None:
        for said in sources.values():
            yield from _prose(said)
        yield from _block({"table": config.to_dict()["data"]["table"]}, reasons)
        return
    yield "  branches:"
    for branch in config.data.branches:
        yield from (f"  {line}" for line in _prose(sources.get(branch.name, ())))
        given = {key: value for key, value in branch.to_dict().items() if value is not None}
        for number, (key, value) in enumerate(given.items()):
            yield f"    {'-' if not number else ' '} {key}: {_scalar(value)}{_because(reasons, f'{branch.name}.{key}')}"


def _section(record: Record, section: str, reasons: Mapping[str, str], leave_out: Sequence[str]) -> Iterator[str]:
    """What is set first, then what has its default."""
    knobs = {f"{knob.section}.{knob.name}": knob for knob in hyperparameters()}
    set_here: list[tuple[str, str, Any]] = []
    left: list[tuple[str, str, Any]] = []
    for name, field in type(record).model_fields.items():
        key, value = f"{section}.{name}", getattr(record, name)
        if name in leave_out:
            continue
        is_set = value != field.default or key in reasons or key in _ALWAYS
        (set_here if is_set else left).append((key, name, record.to_dict()[name]))
    for key, name, value in set_here:
        yield f"  {name}: {_scalar(value)}{_because(reasons, key)}"
    for key, name, value in left:
        yield from ["", *_prose([_said(key, knobs.get(key))])]
        yield f"  #{name}: {_scalar(value)}"


def _said(key: str, knob: Hyperparameter | None) -> str:
    if knob is None:
        return _OTHERS.get(key, "")
    values = [_scalar(value) for value in knob.sensible]
    sensible = f"One of {', '.join(values)}." if knob.is_choice else f"Sensible: {' to '.join(values)}."
    default = "" if knob.default_means is None else f" {_scalar(knob.default)}: {knob.default_means.en}."
    return f"{knob.does.en}{default} {sensible}"


def _because(reasons: Mapping[str, str], key: str) -> str:
    return f"  # {one_line(reasons[key])}" if reasons.get(key) else ""


def _prose(sentences: Sequence[str]) -> list[str]:
    return [f"  # {line}" for sentence in sentences for line in textwrap.wrap(one_line(sentence), _WIDTH)]


def _block(content: Mapping[str, Any], reasons: Mapping[str, str] | None = None, indent: str = "  ") -> Iterator[str]:
    """A mapping on lines of its own; what is absent is left out."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield f"{indent}{_scalar(key)}:"
            yield from _block(value, reasons, f"{indent}  ")
        elif value is not None:
            yield f"{indent}{_scalar(key)}: {_scalar(value)}{_because(reasons or {}, f'{key}')}"


def _scalar(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_scalar, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_scalar(key)}: {_scalar(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, str):
        quoted = json.dumps(value, ensure_ascii=False)
        escaped = "".join(letter if letter.isprintable() else _escape(letter) for letter in quoted)
        plain = value.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum()
        return value if plain and value[:1].isalpha() and yaml.safe_load(value) == value else escaped
    return json.dumps(value) if value is None or isinstance(value, bool) else _number(value)


def _number(value: float) -> str:
    """1e-05 as 1.0e-05, which every YAML reader takes for a number."""
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _escape(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"
