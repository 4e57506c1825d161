"""`InterconnectedAISystem`: one frozen encoder, shared MoE layers, any number of branches, one trunk pass for all."""

import hashlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from interconnected_ai.branches import fingerprint as proof
from interconnected_ai.branches.branch import Branch, BranchCard
from interconnected_ai.branches.card import card_text
from interconnected_ai.branches.encoder import EMBEDDED_ENCODER, Encoder, batches_by_length
from interconnected_ai.branches.prediction import Prediction, known_branch, read_answers
from interconnected_ai.branches.trunk import Trunk, pack
from interconnected_ai.config import BranchSpec, SystemConfig, document_branches
from interconnected_ai.errors import ConfigError, DataError, IntegrityError
from interconnected_ai.hub import local_folder, upload
from interconnected_ai.nn import Routing
from interconnected_ai.planner import dense_twin
from interconnected_ai.storage import (
    atomic_folder,
    check_folder,
    load_tensors,
    read_json,
    recover,
    save_tensors,
    write_json,
)

KIND = "interconnected_ai system"
_PROBE = "probe."  # begins the names of the stored probe outputs in model.safetensors


@dataclass(frozen=True)
class SystemOutput:
    """One forward pass. logits: for each branch (batch, num_classes); pooled: (batch, d_model)."""

    logits: dict[str, Tensor]
    pooled: Tensor
    routings: tuple[Routing, ...]


class InterconnectedAISystem(nn.Module):
    """Frozen encoder → MoE layers (pre-norm, residual) → pooling → for every branch a LoRA adapter and a head.

    base_model_name: "multilingual", or a Hugging Face encoder by hub id or folder; None is the embedded all-MiniLM-L6-v2.
    num_branches: how many of the document's branches to begin with; `branches` (specs) replaces them.
    settings: any other field of `SystemConfig`, such as pooling="cls" or encoder_lora_rank=8.
    encoder: an `Encoder` already in memory, in place of loading one.

    The trunk runs once for all branches. A branch computes with matrices of its own shape only, so adding, training
    or removing other branches leaves its outputs as they are, bit for bit.
    """

    def __init__(
        self,
        base_model_name: str | None = None,
        num_experts: int = 8,
        k: int = 2,
        num_branches: int = 3,
        *,
        branches: Iterable[BranchSpec] | None = None,
        encoder: Encoder | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        specs = document_branches(num_branches) if branches is None else tuple(branches)
        chosen: dict[str, Any] = {
            "base_model_name": base_model_name,
            "num_experts": num_experts,
            "top_k": k,
            **settings,
        }
        chosen["branches"] = tuple(spec.to_dict() for spec in specs)
        super().__init__()
        self._build(SystemConfig.from_mapping(chosen, source=type(self).__name__), encoder, seed)

    @classmethod
    def from_config(cls, config: SystemConfig, *, encoder: Encoder | None = None, seed: int = 0) -> Self:
        """The system this config describes (a `DenseSystem` for ffn="dense"), with fresh weights from `seed`."""
        kind = DenseSystem if config.ffn == "dense" else InterconnectedAISystem
        system = kind.__new__(kind)
        nn.Module.__init__(system)
        system._build(config, encoder, seed)
        return system  # type: ignore[return-value]

    def _build(self, config: SystemConfig, encoder: Encoder | None, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.seed = seed
        self.encoder = encoder or Encoder.load(config.base_model_name, max_seq_len=config.max_seq_len)
        if config.encoder_lora_rank and not self.encoder.has_lora:
            self.encoder.add_lora(
                config.encoder_lora_rank, alpha=config.encoder_lora_alpha, dropout=config.dropout, generator=generator
            )
        self._settings = config.with_changes(branches=[])
        self.trunk = Trunk(config, self.encoder.d_model, generator=generator)
        self.branches = nn.ModuleDict()
        self.cards: dict[str, BranchCard] = {}
        self.trunk_is_trained = False
        self._probe_logits: dict[str, Tensor] = {}
        self._probe_texts: tuple[str, ...] = proof.PROBE_TEXTS
        self._probe_environment = ""
        for spec in config.branches:
            self.add_branch(spec)
        self.eval()

    # What it is

    @property
    def config(self) -> SystemConfig:
        """The shape of the system as it now is, its branches included."""
        return self._settings.with_changes(branches=[card.spec.to_dict() for card in self.cards.values()])

    @property
    def branch_names(self) -> list[str]:
        """The branches, in the order of creation."""
        return list(self.cards)

    def branch_name(self, branch: int | str) -> str:
        """The name of a branch given by number or name; `UnknownNameError` when there is none."""
        return known_branch(self.branch_names, branch)

    def branch(self, name: int | str) -> Branch:
        """The module of a branch given by name or number."""
        module = self.branches[_key(self.branch_name(name))]
        assert isinstance(module, Branch)
        return module

    def get_num_params(self) -> dict[str, int]:
        """Parameters of each part: encoder, encoder_lora, trunk, every branch, and their total."""
        lora = sum(p.numel() for n, p in self.encoder.named_parameters() if ".lora." in n)
        counts = {
            "encoder": sum(p.numel() for p in self.encoder.parameters()) - lora,
            "encoder_lora": lora,
            "trunk": sum(p.numel() for p in self.trunk.parameters()),
            **{name: sum(p.numel() for p in self.branch(name).parameters()) for name in self.cards},
        }
        return {**counts, "total": sum(counts.values())}

    # Learning

    @property
    def _no_split_modules(self) -> list[str]:
        """Classes of modules that FSDP gathers one at a time, as Hugging Face's models name them for Accelerate."""
        return [type(self.encoder).__name__, *sorted({type(layer).__name__ for layer in self.trunk.layers})]

    def get_trainable_params(
        self,
        *,
        lr_moe: float = 1e-4,
        lr_adapter: float = 5e-4,
        lr_head: float = 1e-3,
        lr_encoder_lora: float = 5e-4,
    ) -> list[dict[str, Any]]:
        """Parameter groups for an optimiser, each with its own learning rate (the document's by default) and a name."""
        heads: list[nn.Parameter] = []
        adapters: list[nn.Parameter] = []
        for name, parameter in self.branches.named_parameters():
            (heads if ".head." in name else adapters).append(parameter)
        lora = [p for n, p in self.encoder.named_parameters() if ".lora." in n]
        groups = [
            {"name": "moe", "params": list(self.trunk.parameters()), "lr": lr_moe},
            {"name": "encoder_lora", "params": lora, "lr": lr_encoder_lora},
            {"name": "adapter", "params": adapters, "lr": lr_adapter},
            {"name": "head", "params": heads, "lr": lr_head},
        ]
        for group in groups:
            group["params"] = [p for p in group["params"] if p.requires_grad]  # type: ignore[attr-defined]
        return [group for group in groups if group["params"]]

    def freeze_trunk(self) -> None:
        """End the joint training: from here on nothing that branches share can change."""
        self.trunk.requires_grad_(False)
        self.encoder.requires_grad_(False)
        self.trunk_is_trained = True

    def add_branch(self, spec: BranchSpec) -> Branch:
        """A new, untrained branch. Its weights come from its own random stream; nothing else changes."""
        if spec.name.casefold() in (name.casefold() for name in self.cards):
            raise ConfigError(f"branch {spec.name!r} exists already; remove it first or choose another name")
        stream = int.from_bytes(hashlib.sha256(f"{self.seed}/{spec.name}".encode()).digest()[:7], "big")
        generator = torch.Generator().manual_seed(stream)
        branch = Branch(spec, self._settings, self.encoder.d_model, generator=generator)
        self.branches[_key(spec.name)] = branch.to(self.encoder.device).train(self.training)
        self.cards[spec.name] = BranchCard(spec=spec)
        return branch

    def remove_branch(self, name: str) -> None:
        """Take a branch out. The others keep their weights and outputs."""
        name = self.branch_name(name)
        del self.branches[_key(name)]
        del self.cards[name]
        self._probe_logits.pop(name, None)

    # Computing

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        tokens: Tensor | None = None,
        branches: Sequence[str] | None = None,
    ) -> SystemOutput:
        """One trunk pass, and the logits of all branches or of the named ones.

        input_ids: (batch, seq); without attention_mask, ids equal to the padding id are padding. Or, in place of
        input_ids, the encoder's outputs computed before: `tokens` (num_tokens, d_model) packed, with their mask.
        """
        if tokens is None:
            if input_ids is None:
                raise ValueError("forward needs input_ids, or tokens with attention_mask")
            mask = input_ids != self.encoder.pad_token_id if attention_mask is None else attention_mask.bool()
            tokens, mask = self.encode_tokens(input_ids, mask)
        elif attention_mask is None:
            raise ValueError("tokens need their attention_mask")
        else:
            mask = attention_mask
        pooled, routings = self.trunk(tokens, mask)
        return SystemOutput(self.branch_logits(pooled, branches), pooled, routings)

    def encode_tokens(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's part: (batch, seq) → the packed token vectors that the trunk needs, and their mask."""
        learns = self.encoder.has_lora and torch.is_grad_enabled()
        with nullcontext() if learns else torch.no_grad():
            return pack(self.encoder(input_ids, mask), mask, self._settings.pooling)

    def branch_logits(self, pooled: Tensor, branches: Sequence[str] | None = None) -> dict[str, Tensor]:
        """(batch, d_model) → (batch, num_classes) for each branch: one small product at a time, see the class."""
        return {name: self.branch(name)(pooled) for name in (self.cards if branches is None else branches)}

    def encode(self, texts: Sequence[str], *, batch_size: int = 64) -> Tensor:
        """(num_texts, d_model): the trunk's pooled vector of each text, in evaluation mode, in the order given."""
        check_texts(texts)
        token_ids = self.encoder.tokenize(texts)
        out = torch.empty(len(texts), self.encoder.d_model, device=self.encoder.device)
        was_training = self.training
        self.eval()
        try:
            with torch.inference_mode():
                for rows in batches_by_length([len(ids) for ids in token_ids], batch_size):
                    tokens, mask = self.encode_tokens(*self.encoder.pad([token_ids[row] for row in rows]))
                    out[rows] = self.trunk(tokens, mask)[0].to(out.dtype)
        finally:
            self.train(was_training)
        return out.clone()  # a plain tensor: inference tensors cannot be learnt from

    def predict(
        self,
        texts: Sequence[str],
        *,
        branches: Sequence[str] | None = None,
        top_n: int = 3,
        batch_size: int = 64,
    ) -> list[Prediction]:
        """For each text, every branch's label, calibrated confidence, `top_n` best and whether it is unknown."""
        names = [self.branch_name(name) for name in (self.cards if branches is None else branches)]
        if not len(texts):
            return []
        logits = self.logits_of(self.encode(texts, batch_size=batch_size), names)
        answers = {name: read_answers(logits[name], self.cards[name], top_n) for name in names}
        return [Prediction(text, {name: answers[name][row] for name in names}) for row, text in enumerate(texts)]

    def logits_of(self, pooled: Tensor, branches: Sequence[str] | None = None) -> dict[str, Tensor]:
        """`branch_logits` in evaluation mode, without gradients."""
        was_training = self.training
        self.eval()
        try:
            with torch.inference_mode():
                return {name: logits.clone() for name, logits in self.branch_logits(pooled, branches).items()}
        finally:
            self.train(was_training)

    # Proof

    def seal_branch(self, name: str, **changes: Any) -> BranchCard:
        """End a branch's training: note what changed on its card and take its fingerprint."""
        name = self.branch_name(name)
        logits = self._probe(name)
        self._probe_logits[name] = logits.cpu()
        self._probe_environment = proof.this_environment(logits.device)
        self.cards[name] = self.cards[name].with_changes(**changes, fingerprint=proof.fingerprint_of(logits))
        return self.cards[name]

    def verify(self) -> list[proof.BranchCheck]:
        """Compute every sealed branch's outputs on the probe texts again and compare them with the stored ones."""
        return [
            proof.compare_with_stored(
                name, self._probe(name), self._probe_logits[name], card.fingerprint, self._probe_environment
            )
            for name, card in self.cards.items()
            if card.fingerprint is not None
        ]

    def _probe(self, name: str) -> Tensor:
        """(num_probes, num_classes): the branch's logits on the probe texts, all in one batch."""
        pooled = self.encode(self._probe_texts, batch_size=len(self._probe_texts))
        return self.logits_of(pooled, [name])[name]

    # Keeping

    def save_pretrained(self, folder: str | Path, *, include_encoder: bool = False) -> None:
        """Write config.json, model.safetensors and a README card; `folder` is replaced whole or not at all.

        include_encoder: also write the encoder, so that the folder needs nothing else; otherwise it is named, and the
        hash of its weights is kept. Raises `StorageError` when the disk is full (what stood there is unchanged).
        """
        with atomic_folder(folder, kind=KIND) as scratch:
            kept = {name: tensor for name, tensor in self.state_dict().items() if _is_ours(name)}
            probes = {f"{_PROBE}{name}": logits for name, logits in self._probe_logits.items()}
            write_json(scratch / "config.json", self._description(include_encoder))
            save_tensors(scratch / "model.safetensors", {**kept, **probes})
            (scratch / "README.md").write_text(
                card_text(self.config, self.cards, self.get_num_params()), encoding="utf-8"
            )
            if include_encoder:
                self.encoder.save(scratch / "encoder")

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        token: str | None = None,
        include_encoder: bool = False,
        api: Any = None,
    ) -> str:
        """Save, and send it to the hub repository `repo_id` (owner/name); returns the commit's address.

        Raises `StorageError` without a network or a token that may write. api: see `hub.upload`.
        """
        with tempfile.TemporaryDirectory() as scratch:
            self.save_pretrained(Path(scratch) / "model", include_encoder=include_encoder)
            return upload(Path(scratch) / "model", repo_id, what="A system", private=private, token=token, api=api)

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path, *, encoder: Encoder | None = None) -> Self:
        """The system saved in this folder (or in a hub repository); checksums, shapes and version are checked.

        encoder: an `Encoder` already in memory, in place of the one the folder names.
        """
        folder = local_folder(folder_or_hub_id)
        recover(folder)
        check_folder(folder, kind=KIND)
        known = read_json(folder / "config.json")
        config = SystemConfig.from_mapping(known["system"], source=str(folder / "config.json"))
        if encoder is None:
            inside = folder / "encoder"
            source = str(inside) if inside.is_dir() else config.base_model_name
            encoder = Encoder.load(source, max_seq_len=config.max_seq_len)
            encoder.name = config.base_model_name
        if encoder.fingerprint != known["encoder_sha256"]:
            raise IntegrityError(
                f"{folder} was trained on the encoder {config.base_model_name or EMBEDDED_ENCODER!r} with other weights "
                f"or prefix ({known['encoder_sha256'][:12]}…) than the one loaded ({encoder.fingerprint[:12]}…); "
                "load that encoder, or save with include_encoder=True"
            )
        system = cls.from_config(config, encoder=encoder, seed=known["seed"])
        tensors = load_tensors(folder / "model.safetensors")
        system._take_tensors({n: t for n, t in tensors.items() if not n.startswith(_PROBE)}, folder)
        system._probe_logits = {n.removeprefix(_PROBE): t for n, t in tensors.items() if n.startswith(_PROBE)}
        system._probe_texts = tuple(known["probe"]["texts"])
        system._probe_environment = known["probe"]["environment"]
        cards = (BranchCard.from_mapping(card, source=str(folder / "config.json")) for card in known["branches"])
        system.cards = {card.name: card for card in cards}
        if known["trunk_is_trained"]:
            system.freeze_trunk()
        return system

    def _take_tensors(self, saved: Mapping[str, Tensor], folder: Path) -> None:
        """Load weights, refusing names and shapes that do not fit the config."""
        ours = {n: t for n, t in self.state_dict().items() if _is_ours(n)}
        if missing := sorted(ours.keys() - saved.keys()):
            raise IntegrityError(
                f"{folder}: model.safetensors lacks {missing[0]!r} and {len(missing) - 1} more tensors"
            )
        if extra := sorted(saved.keys() - ours.keys()):
            raise IntegrityError(f"{folder}: model.safetensors has {extra[0]!r}, which config.json does not describe")
        for name, tensor in ours.items():
            if tensor.shape != saved[name].shape:
                raise IntegrityError(
                    f"{folder}: {name!r} has shape {tuple(saved[name].shape)}, config.json says {tuple(tensor.shape)}"
                )
        self.load_state_dict(dict(saved), strict=False)

    def _description(self, include_encoder: bool) -> dict[str, Any]:
        return {
            "system": self.config.to_dict(),
            "seed": self.seed,
            "trunk_is_trained": self.trunk_is_trained,
            "encoder": self.config.base_model_name or EMBEDDED_ENCODER,
            "encoder_included": include_encoder,
            "encoder_sha256": self.encoder.fingerprint,
            "branches": [card.to_dict() for card in self.cards.values()],
            "probe": {"texts": list(self._probe_texts), "environment": self._probe_environment},
        }


class DenseSystem(InterconnectedAISystem):
    """The dense twin: one dense FFN in place of every MoE layer. A yardstick; `InterconnectedAISystem` is the product."""

    def __init__(self, base_model_name: str | None = None, num_branches: int = 3, **settings: Any) -> None:
        super().__init__(base_model_name, num_branches=num_branches, **{**settings, "ffn": "dense"})

    @classmethod
    def twin_of(cls, system: InterconnectedAISystem) -> InterconnectedAISystem:
        """An untrained dense twin of an MoE system, on the same frozen encoder (its size: `planner.dense_twin`).

        With an encoder LoRA, which trains, the twin gets an encoder of its own.
        """
        config = dense_twin(system.config, system.encoder.d_model)
        encoder = None if system.encoder.has_lora else system.encoder
        return cls.from_config(config, encoder=encoder, seed=system.seed)


def check_texts(texts: Sequence[str]) -> None:
    """Raise `DataError` for anything that is not a text with a letter in it."""
    if isinstance(texts, str):
        raise DataError(f"needs a list of texts, got one text: write [{texts[:30]!r}]")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"text {row} is {type(text).__name__}: {text!r}; needs a string")
        if not text.strip():
            raise DataError(f"text {row} is empty; remove it or write something into it")


def _key(name: str) -> str:
    # A prefix, because nn.ModuleDict refuses names of its own methods such as "keys" or "type".
    return f"branch_{name}"


def _is_ours(tensor_name: str) -> bool:
    """Whether a tensor of the state dict belongs to the system itself and not to the pretrained encoder."""
    return not tensor_name.startswith("encoder.") or ".lora." in tensor_name
