"""The kind "gguf": a GGUF file of a language model, on llama.cpp, in its own 4 bits on torch-int4, or dequantised on torch."""

from pathlib import Path

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.gguf_model import GgufModel
from interconnected_ai.experts.kinds.kind import ExpertKind
from interconnected_ai.experts.opened import Opened, Opening
from interconnected_ai.storage import is_gguf

_ENGINES = ("llamacpp", "torch-int4", "torch")


def _recognises(place: Path) -> bool:
    return place.is_file() and is_gguf(place)


def _card(place: Path) -> ExpertCard:
    model = GgufModel.read(place)
    return ExpertCard(
        name=model.name,
        kind="gguf",
        architecture=f"{model.architecture}, {model.precision}",
        num_bytes=model.size_bytes,
        num_params=model.num_params,
        vocab_size=model.vocab_size,
        context=model.context,
        languages=model.languages,
        licence=model.licence or None,
    )


def _open(place: Path, opening: Opening) -> Opened:
    from interconnected_ai.experts.causal import CausalEngine
    from interconnected_ai.experts.causal_lm import CausalLM
    from interconnected_ai.experts.chat import ChatTemplate
    from interconnected_ai.experts.engines.llamacpp import LlamaCppEngine, LlamaFile
    from interconnected_ai.text import PretrainedTokenizer

    name = opening.engine_of(_ENGINES, "a GGUF file")
    file = GgufModel.read(place)  # first: what is no model is refused as what it is
    tokenizer, card = PretrainedTokenizer.from_gguf(place), _card(place)

    def template() -> ChatTemplate:
        return ChatTemplate.from_gguf(file.metadata, tokenizer.fast, end_ids=tokenizer.end_ids)

    if name == "torch-int4":
        from interconnected_ai.experts.causal import Int4Engine

        in_4_bits = Int4Engine(file, tokenizer)
        return Opened(in_4_bits, tokenizer, card, None, lambda: CausalLM.from_pretrained(place), place, template)
    if name != "torch":
        engine = LlamaCppEngine(LlamaFile.of_model(file), tokenizer, keeps_prompts=True)
        return Opened(engine, tokenizer, card, None, lambda: CausalLM.from_pretrained(place), place, template)
    model = CausalLM.from_pretrained(place, device=opening.device)
    on_torch = CausalEngine(model.network, tokenizer, max_seq_len=model.config.max_seq_len)
    return Opened(on_torch, tokenizer, card, model, lambda: model, place, template)


def _safetensors(place: Path, out: Path, precision: str) -> None:
    from interconnected_ai.experts.causal_lm import CausalLM
    from interconnected_ai.experts.chat.sources import TemplateSource
    from interconnected_ai.storage import read_gguf
    from interconnected_ai.text import PretrainedTokenizer

    if precision != "float32":
        raise EngineError(f"safetensors are exported in float32 alone, not {precision!r}; the file itself is quantised")
    card = _card(place)
    model, tokenizer = CausalLM.from_pretrained(place), PretrainedTokenizer.from_gguf(place)
    template = TemplateSource.in_gguf(read_gguf(place).metadata).template
    model.save_pretrained(out, tokenizer, template=template, licence=card.licence, languages=card.languages)


def _gguf(place: Path, out: Path, precision: str) -> None:
    from interconnected_ai.experts.export.gguf_bases import write_base_gguf

    write_base_gguf(place, out, precision=precision)


GGUF = ExpertKind(
    name="gguf",
    title="a GGUF file",
    recognises=_recognises,
    card=_card,
    open=_open,
    engines=_ENGINES,
    formats={"safetensors": _safetensors, "gguf": _gguf},
    why_not_quantize=(
        "the weights of a GGUF file have the bits that it was written with; iai expert export --to gguf --quantize q4_1 writes "
        "it anew with others, best from a file in float16"
    ),
)
