"""`CausalLM`: a causal language model of Hugging Face transformers as a `LanguageModel`, from a folder or a GGUF file.

Weights are safetensors or GGUF; no pickle is read and no code of a repository is run. What decodes with it is in `causal/`.
"""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from interconnected_ai.errors import EngineError, IntegrityError, PromptError, nearest_first
from interconnected_ai.experts.bases import Base, find_base
from interconnected_ai.experts.causal_folder import CONFIG, require_loadable, window_of
from interconnected_ai.experts.gguf_network import LEAN, is_mixture, llama_network, require_plain_positions
from interconnected_ai.extras import require
from interconnected_ai.hub import ONE_NETWORK
from interconnected_ai.nn import device_of, require_own_threads, swap_gelus
from interconnected_ai.storage import CAUSAL, atomic_folder, read_gguf, read_json
from interconnected_ai.text import PretrainedTokenizer

_UNBOUNDED = 2**31 - 1  # the window of models whose positions have no end, such as ALiBi's


@dataclass(frozen=True)
class CausalShape:
    """The sizes of a causal language model. architecture: transformers' model_type, such as "llama"."""

    vocab_size: int
    max_seq_len: int
    architecture: str


class CausalLM(nn.Module):
    """A causal language model of transformers.

    network: its …ForCausalLM; modules keep the names that transformers gives them below it ("model.layers.0.self_attn.q_proj").

    Threads: in evaluation mode any number of them may compute at once.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network: Any = network
        swap_gelus(network)
        content = self.network.config.to_dict()
        weight = self.network.get_output_embeddings().weight
        self.config = CausalShape(weight.shape[0], window_of(content) or _UNBOUNDED, content["model_type"])
        self._takes_positions = "position_ids" in inspect.signature(self.network.base_model.forward).parameters

    @classmethod
    def from_pretrained(
        cls, place: str | Path | Base, *, dtype: torch.dtype | None = None, device: str | torch.device | None = None
    ) -> Self:
        """The model of a base: "smollm2", a GGUF file (its weights dequantised), a folder, a hub id; in evaluation mode.

        dtype: of the weights; None is float32 on a CPU and the stored one elsewhere. device: None is the CPU.
        Raises `EngineError` for an architecture that transformers does not have without a repository's own code,
        `UnsafeFileError` for pickles, `IntegrityError` for truncated or missing weights, and what `find_base` raises.
        """
        base = place if isinstance(place, Base) else find_base(place)
        where = torch.device("cpu") if device is None else device_of(str(device))
        wanted = torch.float32 if dtype is None and where.type == "cpu" else dtype or "auto"
        network = _from_gguf(base.path, wanted) if base.form == "gguf" else _from_folder(base.path, wanted)
        model = cls(network).to(where).eval()
        model.require_exact_head()
        return model

    def save_pretrained(
        self,
        folder: str | Path,
        tokenizer: PretrainedTokenizer | None = None,
        *,
        template: str | None = None,
        **card: Any,
    ) -> None:
        """Write a folder that transformers and vLLM open too; it is replaced whole or not at all.

        template: of chats, in Jinja. card: `licence` and `languages` for the README.
        """
        with atomic_folder(folder, kind=CAUSAL) as scratch:
            self.network.save_pretrained(scratch)
            if tokenizer is not None:
                tokenizer.save(scratch)
            if template is not None:
                (scratch / "chat_template.jinja").write_text(template, encoding="utf-8")
            (scratch / "README.md").write_text(_card_text(Path(folder).name, self, **card), encoding="utf-8")

    # What it is

    @property
    def hf_config(self) -> Any:
        """transformers' own config."""
        return self.network.config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.network.get_output_embeddings().weight.device
        return device

    @property
    def num_bytes(self) -> int:
        """Of its tensors, each counted once."""
        tensors = {tensor.data_ptr(): tensor for tensor in (*self.parameters(), *self.buffers())}
        return sum(tensor.nbytes for tensor in tensors.values())

    @property
    def head(self) -> nn.Module:
        """(…, d_model) → (…, vocab_size) logits: the matrix itself, or with what its family does to logits afterwards."""
        linear: nn.Module = self.network.get_output_embeddings()
        factor, cap = _logit_rules(self.network.config)
        return linear if factor == 1.0 and cap is None else ScaledHead(linear, factor, cap)

    def get_num_params(self) -> int:
        """Parameters, tied ones counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    # Computing

    def hidden(self, input_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, seq) token ids → (batch, seq, d_model): what the head reads.

        mask: (batch, seq), true where a token is real: padding on either side is not looked at, and positions count from a
        row's first real token. Raises `PromptError` for more tokens than the window, or ids outside the vocabulary.
        """
        require_own_threads()
        self._check(input_ids)
        more: dict[str, Any] = {}
        if mask is not None:
            real = mask.long()
            more["attention_mask"] = real
            if self._takes_positions:
                more["position_ids"] = (real.cumsum(dim=1) - 1).clamp(min=0)
        found = self.network.base_model(input_ids=input_ids, use_cache=False, **more)
        hidden: Tensor = found.last_hidden_state
        return hidden

    def forward(self, input_ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, seq) token ids → (batch, seq, vocab_size) logits."""
        logits: Tensor = self.head(self.hidden(input_ids, mask))
        return logits

    @torch.inference_mode()
    def require_exact_head(self) -> None:
        """Raise `EngineError` unless `head` on `hidden` gives the logits that transformers itself gives, on two tokens."""
        tried = torch.arange(min(2, self.config.vocab_size), device=self.device)[None]
        ours = self(tried).float()
        theirs = self.network(input_ids=tried, use_cache=False).logits.float()
        if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3):
            raise EngineError(
                f"the architecture {self.config.architecture} makes its logits in a way that is not known here (they differ by "
                f"{float((ours - theirs).abs().max()):.2g}); give a model of another family, or a GGUF file for llama.cpp"
            )

    def _check(self, input_ids: Tensor) -> None:
        if input_ids.dim() != 2 or input_ids.shape[1] == 0:
            raise PromptError(
                f"input_ids has shape {tuple(input_ids.shape)}; needed is (batch, seq), one token at least"
            )
        if input_ids.shape[1] > self.config.max_seq_len:
            raise PromptError(
                f"{input_ids.shape[1]} tokens are more than the model's window of {self.config.max_seq_len}; shorten the text"
            )
        if input_ids.is_meta or torch.compiler.is_compiling():
            return
        low, high = (int(v) for v in torch.stack(input_ids.aminmax()).tolist())
        if low < 0 or high >= self.config.vocab_size:
            raise PromptError(
                f"token id {low if low < 0 else high} is outside the vocabulary of {self.config.vocab_size} (0 to "
                f"{self.config.vocab_size - 1}); was the text tokenized by another model's tokenizer?"
            )


class ScaledHead(nn.Module):
    """cap · tanh(factor · W · h / cap): a head whose family scales or caps its logits (Cohere, Granite, Gemma 2)."""

    def __init__(self, linear: nn.Module, factor: float, cap: float | None) -> None:
        super().__init__()
        self.linear, self.factor, self.cap = linear, factor, cap

    @property
    def weight(self) -> Tensor:
        """The matrix, (vocab_size, d_model)."""
        weight: Tensor = self.linear.weight  # type: ignore[assignment]
        return weight

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, d_model) → (…, vocab_size)."""
        logits: Tensor = self.linear(hidden) * self.factor
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap


def _logit_rules(config: Any) -> tuple[float, float | None]:
    """What logits are multiplied by, and capped at."""
    factor = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    return factor, None if cap is None else float(cap)


def _from_folder(folder: Path, dtype: Any) -> nn.Module:
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    content = read_json(folder / CONFIG)
    architecture = content.get("model_type")
    if architecture not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        near = ", ".join(nearest_first(str(architecture), MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)[:5])
        own_code = " It brings code of its own (auto_map), which is never run." if "auto_map" in content else ""
        raise EngineError(
            f"{folder / CONFIG}: transformers has no causal language model {architecture!r} (nearest: {near}).{own_code} Give "
            "a model of a family that transformers has, or a GGUF file for llama.cpp"
        )
    if method := (content.get("quantization_config") or {}).get("quant_method"):
        raise EngineError(
            f"{folder} holds weights quantised by {method}, which are not read here; give the model in float, or as GGUF"
        )
    require_loadable(folder)
    return _loaded(
        folder, lambda: AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True, output_loading_info=True
        )
    )  # fmt: skip


def _from_gguf(path: Path, dtype: Any) -> nn.Module:
    require("gguf", "llamacpp", "reading a GGUF file on PyTorch")
    from transformers import AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    head = read_gguf(path)
    require_plain_positions(head)
    architecture = head.metadata.get("general.architecture")
    if is_mixture(head) and architecture in LEAN:
        raise EngineError(
            f"{path} is a mixture of experts of the architecture {architecture!r}, which is not read from GGUF files on torch; "
            "the engine llamacpp runs it, and a folder of the same model with safetensors runs on torch"
        )
    if architecture in LEAN:
        return llama_network(head, dtype if isinstance(dtype, torch.dtype) else torch.float32)
    if architecture not in GGUF_SUPPORTED_ARCHITECTURES:
        near = ", ".join(nearest_first(str(architecture), GGUF_SUPPORTED_ARCHITECTURES)[:5])
        raise EngineError(
            f"{path}: transformers cannot open a GGUF file of the architecture {architecture!r} (nearest: {near}); the engine "
            "llamacpp may run it, and a folder of the same model with safetensors runs on torch"
        )
    network: Any = _loaded(
        path, lambda: AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    )  # fmt: skip
    network.hf_quantizer = None  # the weights are plain numbers by now, and may be saved
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    return cast(nn.Module, network)


def _loaded(place: Path, load: Any) -> nn.Module:
    """What transformers loads, if every weight of it was in the files."""
    try:
        with ONE_NETWORK:
            network, told = load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise IntegrityError(
            f"transformers cannot load {place} ({type(error).__name__}: {str(error).splitlines()[0][:200]}); are config and "
            "weights of one model, and whole? Fetch it again"
        ) from error
    tied = set(getattr(network, "all_tied_weights_keys", None) or ())
    missing = sorted(set(told["missing_keys"]) - tied)
    wrong = sorted(str(one[0] if isinstance(one, tuple) else one) for one in told.get("mismatched_keys", ()))
    if missing or wrong:
        raise IntegrityError(
            f"{place} lacks the weights of {(missing or wrong)[0]!r} ({len(missing) + len(wrong)} such); config and weights "
            "are of different models, or the download broke off; fetch it again"
        )
    found: nn.Module = network
    return found


def _card_text(name: str, model: CausalLM, licence: str | None = None, languages: tuple[str, ...] = ()) -> str:
    front = {"library_name": "transformers", "pipeline_tag": "text-generation", "license": licence}
    lines = "".join(f"{key}: {value}\n" for key, value in front.items() if value is not None)
    spoken = "".join(f"- {language}\n" for language in languages)
    return (
        f"---\n{lines}{f'language:{chr(10)}{spoken}' if spoken else ''}---\n\n# {name}\n\n"
        f"A causal language model of the architecture {model.config.architecture}, {model.get_num_params():,} parameters, "
        f"vocabulary {model.config.vocab_size:,}.\n"
    )
