"""The kind "causal": the folder of a causal language model as Hugging Face writes it, with safetensors; on the engine torch."""

from pathlib import Path

from interconnected_ai.errors import EngineError
from interconnected_ai.experts import causal_folder as folders
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.kinds.kind import ExpertKind
from interconnected_ai.experts.opened import Opened, Opening
from interconnected_ai.storage import read_json

_ENGINES = ("torch",)


def _card(place: Path) -> ExpertCard:
    content = read_json(place / folders.CONFIG)
    licence, languages = folders.said_by_readme(place)
    files = folders.weight_files(place)
    return ExpertCard(
        name=place.name,
        kind="causal",
        architecture=content.get("model_type"),
        num_bytes=sum(file.stat().st_size for file in files),
        num_params=folders.num_params(place) or None,
        vocab_size=folders.vocabulary_of(content),
        context=folders.window_of(content),
        languages=languages,
        licence=licence,
    )


def _open(place: Path, opening: Opening) -> Opened:
    from interconnected_ai.experts.causal import CausalEngine
    from interconnected_ai.experts.causal_lm import CausalLM
    from interconnected_ai.experts.chat import ChatTemplate
    from interconnected_ai.text import PretrainedTokenizer

    opening.engine_of(_ENGINES, "a Hugging Face model (as a GGUF file it runs on llamacpp)")
    tokenizer = PretrainedTokenizer.from_folder(place)
    model = CausalLM.from_pretrained(place, device=opening.device)
    engine = CausalEngine(model.network, tokenizer, max_seq_len=model.config.max_seq_len)
    return Opened(
        engine, tokenizer, _card(place), model, lambda: model, place,
        lambda: ChatTemplate.from_folder(place, tokenizer.fast, end_ids=tokenizer.end_ids),
    )  # fmt: skip


def _safetensors(place: Path, out: Path, precision: str) -> None:
    from interconnected_ai.experts.causal_lm import CausalLM
    from interconnected_ai.experts.chat.sources import TemplateSource
    from interconnected_ai.text import PretrainedTokenizer

    if precision != "float32":
        raise EngineError(f"safetensors are exported in float32 alone, not {precision!r}; gguf can be quantised")
    licence, languages = folders.said_by_readme(place)
    model, tokenizer = CausalLM.from_pretrained(place), PretrainedTokenizer.from_folder(place)
    template = TemplateSource.in_folder(place).template
    model.save_pretrained(out, tokenizer, template=template, licence=licence, languages=languages)


def _gguf(place: Path, out: Path, precision: str) -> None:
    from interconnected_ai.experts.export.gguf_bases import write_base_gguf

    write_base_gguf(place, out, precision=precision)


CAUSAL_MODEL = ExpertKind(
    name="causal",
    title="a Hugging Face causal language model",
    recognises=folders.is_causal_folder,
    card=_card,
    open=_open,
    engines=_ENGINES,
    formats={"safetensors": _safetensors, "gguf": _gguf},
    why_not_quantize=(
        "the weights of a Hugging Face model are not quantised in place; iai expert export --to gguf --quantize q4_1 writes it "
        "as a GGUF file of fewer bits, which is an expert too"
    ),
)
