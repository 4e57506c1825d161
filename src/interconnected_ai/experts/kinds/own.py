"""The kind "expert": an `ExpertModel`, trained from nothing, as `save_expert` writes it."""

from pathlib import Path

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import StorageError
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.kinds.kind import ExpertKind, Exporter
from interconnected_ai.experts.mapped import mapped_bytes
from interconnected_ai.experts.opened import Opened, Opening
from interconnected_ai.storage import EXPERT, MANIFEST, read_json

_ENGINES = ("torch", "onnx", "ctranslate2", "llamacpp")


def _recognises(place: Path) -> bool:
    path = place / MANIFEST
    try:
        return path.is_file() and read_json(path).get("kind") == EXPERT
    except StorageError:
        return False


def _card(place: Path) -> ExpertCard:
    from interconnected_ai.planner import expert_size

    path = place / "config.json"
    content = read_json(path)
    shape = ExpertConfig.from_mapping(content.get("model", {}), source=str(path))
    training = content.get("training")
    return ExpertCard(
        name=content.get("name") or place.name,
        tokenizer_sha256=content.get("tokenizer_sha256"),
        training=training if isinstance(training, dict) else {},
        architecture=f"transformer, {shape.norm}-norm",
        num_bytes=sum(file.stat().st_size for file in place.iterdir() if file.is_file()),
        num_params=expert_size(shape).num_params,
        vocab_size=shape.vocab_size,
        context=shape.max_seq_len,
        languages=tuple(content.get("languages", ())),
        licence=content.get("licence"),
        examples=tuple(content.get("examples", ())),
    )


def _open(place: Path, opening: Opening) -> Opened:
    from interconnected_ai.experts.engines import open_files
    from interconnected_ai.experts.folder import read_files
    from interconnected_ai.experts.model import ExpertModel
    from interconnected_ai.experts.torch_engine import TorchEngine
    from interconnected_ai.nn import device_of

    where = None if opening.device is None else device_of(opening.device)
    engine = opening.engine_of(_ENGINES, "this expert")
    files = read_files(place)
    tokenizer = files.own_tokenizer()
    if engine != "torch":
        opened = open_files(engine, files, tokenizer, mapped=opening.mapped)
        return Opened(
            opened, tokenizer, files.card, None, lambda: files.network(ExpertModel), place, config=files.config
        )
    model = files.network(ExpertModel)
    model = model if where is None else model.to(where)
    return Opened(TorchEngine(model, tokenizer), tokenizer, files.card, model, lambda: model, place)


def _mapped_bytes(place: Path, engine: str | None) -> int | None:
    path = place / "config.json"
    content = read_json(path)
    if engine != "onnx" or content.get("precision", "float32") != "float32":
        return None
    return mapped_bytes(ExpertConfig.from_mapping(content.get("model", {}), source=str(path)))


def _exporter(format_name: str) -> Exporter:
    def export(place: Path, out: Path, precision: str) -> None:
        from interconnected_ai.experts.export import FORMATS
        from interconnected_ai.experts.folder import read_files

        FORMATS[format_name](read_files(place), out, precision)

    return export


OWN = ExpertKind(
    name="expert",
    title="a transformer trained from nothing",
    recognises=_recognises,
    card=_card,
    open=_open,
    engines=_ENGINES,
    mapped_bytes=_mapped_bytes,
    formats={name: _exporter(name) for name in ("gpt2", "gguf", "onnx", "ctranslate2")},
)
