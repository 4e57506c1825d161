"""`InterconnectedAISystem`: one frozen encoder, shared MoE layers, any number of branches, one trunk pass for all."""

import copy
import hashlib
import os
import tempfile
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.arguments import checked, whole_number
from interconnected_ai.branches import fingerprint as proof
from interconnected_ai.branches.arguments import names_of, texts_of
from interconnected_ai.branches.branch import Branch, Cards, key_of
from interconnected_ai.branches.card import card_text
from interconnected_ai.branches.encoder import (
    Encoder,
    batches_by_length,
    known_as,
    like_lengths,
)
from interconnected_ai.branches.features import TextFeatures
from interconnected_ai.branches.panel import Panel, Panels
from interconnected_ai.branches.prediction import Prediction, known_branch
from interconnected_ai.branches.trunk import Trunk, pack
from interconnected_ai.branches.turns import Turns
from interconnected_ai.branches.vocabulary import bags_of
from interconnected_ai.config import EMBEDDED_ENCODER, BranchCard, BranchSpec, SystemConfig, document_branches
from interconnected_ai.errors import ConfigError, ConflictError, DataError, FormatVersionError, IntegrityError
from interconnected_ai.hub import local_folder, upload
from interconnected_ai.nn import Bags, Routing, in_evaluation
from interconnected_ai.planner import dense_twin
from interconnected_ai.storage import (
    ANY,
    SYSTEM,
    AnyVersion,
    atomic_folder,
    load_arrays,
    load_tensors,
    read_folder,
    read_json,
    save_arrays,
    save_tensors,
    version_of,
    write_folder,
    write_json,
)
from interconnected_ai.text import KnownTexts, Vocabulary, count_ngrams, ngrams_signature

_BRANCHES = "branches."  # begins the names of their tensors
_STATISTICS = "trunk.standardization."  # begins the names of what the trunk knows of the encoder's vectors
_PROBE = "probe."  # begins the names of the stored probe outputs in model.safetensors
_DIRECTIONS = "directions."  # and those of the branches' class directions
_WORDS = "words."  # begins the names of the wide parts' vocabularies there
_LEARNT_FILE, _LEARNT = "learnt.npz", "learnt."  # hashes of the texts that each branch has learnt

_changes = Turns()  # which branches stand is changed by one thread at a time


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

    At once, from any number of threads: `predict`, `encode`, `inference`, `verify`, `save_pretrained`, and beside them
    `add_branch`, `fit_branch`, `take_branch`, `remove_branch`, `seal_branches` and setting a card. Each works on the branches
    that stood when it was called. Alone: joint training, `train` and `eval`, `to`, `freeze_trunk`.
    """

    @checked
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
    @checked
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
                config.encoder_lora_rank,
                alpha=config.encoder_lora_alpha,
                dropout=config.dropout,
                generator=generator,
                layers=config.encoder_lora_layers,
            )
        if config.pooling == "cls" and not self.encoder.reads_both_ways:
            raise ConfigError(
                f"pooling='cls' takes the first token's vector, and {type(self.encoder.model).__name__} reads from left to "
                "right: there it is the same for all texts that begin alike; take pooling='mean' or 'attention'"
            )
        self._settings = config.with_changes(branches=[], base_model_name=known_as(config.base_model_name))
        self.trunk = Trunk(config, self.encoder.d_model, generator=generator)
        # Replaced as a whole and never changed, so that who took hold of it goes on with the branches it found.
        self.branches, self._panels = nn.ModuleDict(), Panels()
        self.trunk_is_trained = False
        self._saved_versions: dict[Path, str] = {}  # of the folders this system came from or was saved to
        self._probe_texts: tuple[str, ...] = proof.PROBE_TEXTS
        self._probe_environment = ""
        self._add_branches(config.branches)
        self.eval()

    # What it is

    @property
    def config(self) -> SystemConfig:
        """The shape of the system as it now is, its branches included."""
        return self._config_of(self.branches)

    def _config_of(self, branches: nn.ModuleDict) -> SystemConfig:
        return self._settings.with_changes(branches=[card.spec.to_dict() for card in Cards(branches).values()])

    @property
    def cards(self) -> Cards:
        """What is known of each branch, by name, in the order of creation. A card may be set: `system.cards["bank"] = card`."""
        return Cards(self.branches)

    @property
    def branch_names(self) -> list[str]:
        """The branches, in the order of creation."""
        return list(self.cards)

    def branch_name(self, branch: int | str) -> str:
        """The name of a branch given by number or name; `UnknownNameError` when there is none."""
        return branch if isinstance(branch, str) and branch in self.cards else known_branch(self.branch_names, branch)

    def branch(self, name: int | str) -> Branch:
        """The module of a branch given by name or number."""
        return next(iter(self._named([name]).values()))

    def _named(self, names: Iterable[int | str] | None = None) -> dict[str, Branch]:
        """The named branches, or all of them, as they stand at this moment."""
        standing = self.branches
        cards, names = Cards(standing), names_of(names)
        if names is None:
            return {module.card.name: module for module in standing.values() if isinstance(module, Branch)}
        known = [name if isinstance(name, str) and name in cards else known_branch(list(cards), name) for name in names]
        return {name: cards.branch(name) for name in known}

    def learnt_texts(self, branch: int | str) -> KnownTexts | None:
        """The texts that a branch was trained, stopped and calibrated on, by their hashes; None where no record was kept.

        A text that another branch has learnt is not among them: its label here was never shown.
        """
        return self.branch(branch).learnt

    def get_num_params(self) -> dict[str, int]:
        """Parameters of each part: encoder, encoder_lora, trunk, every branch, and their total."""
        return self._num_params_with(self._named())

    def _num_params_with(self, branches: Mapping[str, Branch]) -> dict[str, int]:
        lora = sum(p.numel() for n, p in self.encoder.named_parameters() if ".lora." in n)
        counts = {
            "encoder": sum(p.numel() for p in self.encoder.parameters()) - lora,
            "encoder_lora": lora,
            "trunk": sum(p.numel() for p in self.trunk.parameters()),
            **{name: sum(p.numel() for p in branch.parameters()) for name, branch in branches.items()},
        }
        return {**counts, "total": sum(counts.values())}

    def shared_tensors(self) -> dict[str, Tensor]:
        """What branches share and a system keeps: the trunk, and the LoRA inside the encoder, by their names."""
        lora = {n: t for n, t in self.encoder.state_dict(prefix="encoder.").items() if _is_ours(n)}
        return {**lora, **self.trunk.state_dict(prefix="trunk.")}

    # Learning

    @property
    def _no_split_modules(self) -> list[str]:
        """Classes of modules that FSDP gathers one at a time, as Hugging Face's models name them for Accelerate."""
        return [type(self.encoder).__name__, *sorted({type(layer).__name__ for layer in self.trunk.layers})]

    @checked
    def get_trainable_params(
        self,
        *,
        lr_moe: float = 1e-4,
        lr_adapter: float = 5e-4,
        lr_head: float = 1e-3,
        lr_wide: float = 2e-4,
        lr_encoder_lora: float = 5e-4,
    ) -> list[dict[str, Any]]:
        """Parameter groups for an optimiser, each with its own learning rate (the document's by default) and a name."""
        parts: dict[str, list[nn.Parameter]] = {"adapter": [], "head": [], "wide": []}
        for name, parameter in self.branches.named_parameters():
            parts[name.split(".")[1]].append(parameter)
        lora = [p for n, p in self.encoder.named_parameters() if ".lora." in n]
        groups = [
            {"name": "moe", "params": list(self.trunk.parameters()), "lr": lr_moe},
            {"name": "encoder_lora", "params": lora, "lr": lr_encoder_lora},
            {"name": "adapter", "params": parts["adapter"], "lr": lr_adapter},
            {"name": "head", "params": parts["head"], "lr": lr_head},
            {"name": "wide", "params": parts["wide"], "lr": lr_wide},
        ]
        for group in groups:
            group["params"] = [p for p in group["params"] if p.requires_grad]  # type: ignore[attr-defined]
        return [group for group in groups if group["params"]]

    def freeze_trunk(self) -> None:
        """End the joint training: from here on nothing that branches share can change."""
        self.trunk.requires_grad_(False)
        self.encoder.requires_grad_(False)
        self.trunk_is_trained = True

    @checked
    def add_branch(self, spec: BranchSpec) -> Branch:
        """A new, untrained branch. Its weights come from its own random stream; nothing else changes."""
        return self._add_branches([spec])[0]

    @checked
    def take_branch(self, name: str, source: Self) -> BranchCard:
        """Add a branch of another system that has the same encoder and trunk: here it gives the same outputs, bit for bit.

        Raises `ConflictError` when what branches share differs, `ConfigError` when a branch of that name exists.
        """
        require_same_shared_parts(self, source)
        branch = copy.deepcopy(source.branch(name)).to(self.encoder.device)
        if self._probe_texts != source._probe_texts:
            branch = branch.with_card(branch.card.with_changes(fingerprint=None), None)
        self._change({}, [branch])
        if branch.probe is not None:
            self._probe_environment = source._probe_environment
        return branch.card

    @checked
    def take_branches(self, source: Self) -> None:
        """Have the branches of another system that has the same encoder and trunk, and no others, in one step.

        Who predicts meanwhile gets the answers of all that stood before, or of all that stand then. Those that are the same
        stay what they are. Raises `ConflictError` when what branches share differs.
        """
        require_same_shared_parts(self, source)
        theirs = source._named()
        with _changes():
            standing = self._named()
            kept = {name for name, branch in standing.items() if _is_same(branch, theirs.get(name))}
            added = [copy.deepcopy(branch).to(self.encoder.device) for n, branch in theirs.items() if n not in kept]
            if any(branch.probe is not None for branch in added):
                self._probe_environment = source._probe_environment
            self._change({branch: None for name, branch in standing.items() if name not in kept}, added)

    @checked
    def remove_branch(self, name: str) -> None:
        """Take a branch out. The others keep their weights and outputs."""
        with _changes():
            branch = self.branch(name)
            self._change({branch: None})

    @checked
    def replace_branch(self, branch: Branch, by: Branch) -> None:
        """Put `by` in the place of a branch, with its weights, card and probe at once. `ConfigError` when it stands no more."""
        self._change({branch: by})

    def _add_branches(self, specs: Iterable[BranchSpec]) -> list[Branch]:
        made = [self.untrained_branch(spec) for spec in specs]
        self._change({}, made)
        return made

    def untrained_branch(self, spec: BranchSpec) -> Branch:
        """A branch with fresh weights that stands in no system yet; nothing changes."""
        stream = int.from_bytes(hashlib.sha256(f"{self.seed}/{spec.name}".encode()).digest()[:7], "big")
        generator = torch.Generator().manual_seed(stream)
        branch = Branch(spec, self._settings, self.encoder.d_model, generator=generator)
        return branch.to(self.encoder.device).train(self.training)

    def _change(self, replaced: Mapping[Branch, Branch | None], added: Iterable[Branch] = ()) -> None:
        """Put other branches in the place of some (None: nothing), add more, and let the result stand in one step."""
        with _changes():
            standing = dict(self.branches.items())
            for branch, by in replaced.items():
                key = key_of(branch.card.name)
                if standing.get(key) is not branch:
                    raise ConfigError(
                        f"branch {branch.card.name!r} was removed or replaced while it was being changed; look at "
                        "what stands there and repeat the change if it is still wanted"
                    )
                if by is None:
                    del standing[key]
                else:
                    standing[key] = by
            taken = {key.casefold() for key in standing}
            for branch in added:
                key = key_of(branch.card.name)
                if key.casefold() in taken:
                    raise ConfigError(
                        f"branch {branch.card.name!r} exists already; remove it first or choose another name"
                    )
                taken.add(key.casefold())
                standing[key] = branch
            branches = nn.ModuleDict()
            branches._modules.update(standing)  # as `update` would, in one step for all
            branches.training = self.branches.training  # without setting the branches' own
            self.branches = branches
            self._panels = Panels(self._named().values())

    @checked
    def put_branch(self, branch: Branch, *, environment: str | None = None) -> None:
        """Add a branch that was made elsewhere for a system like this. Raises `ConfigError` when one of that name exists.

        environment: where its stored outputs were computed; it counts where no other branch has some.
        """
        with _changes():
            if environment is not None and not any(standing.probe is not None for standing in self._named().values()):
                self._probe_environment = environment
            self._change({}, [branch])

    # Computing

    @checked
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        tokens: Tensor | None = None,
        branches: Sequence[int | str] | None = None,
        words: Mapping[str, Bags] | None = None,
    ) -> SystemOutput:
        """One trunk pass, and the logits of all branches or of the named ones.

        input_ids: (batch, seq); without attention_mask, the tokenizer's padding tokens are padding, and nothing is where it
        has none of its own (`Encoder.mask_of`). Or, in place of input_ids, the encoder's outputs computed before: `tokens`
        (num_tokens, d_model) packed, with their mask. Raises `DataError` for a row of padding alone. words: what
        `words_of` gives of the texts; a wide part without them is silent.
        """
        if tokens is None:
            if input_ids is None:
                raise ConfigError("forward needs input_ids, or tokens with attention_mask")
            mask = self.encoder.mask_of(input_ids) if attention_mask is None else attention_mask.bool()
            _require_a_token(mask)
            tokens, mask = self.encode_tokens(input_ids, mask)
        elif attention_mask is None:
            raise ConfigError("tokens need their attention_mask")
        else:
            mask = attention_mask
        pooled, routings = self.trunk(tokens, mask)
        return SystemOutput(self.branch_logits(pooled, branches, words), pooled, routings)

    @checked
    def encode_tokens(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's part: (batch, seq) → the packed token vectors that the trunk needs, and their mask."""
        learns = self.encoder.learns and torch.is_grad_enabled()
        with nullcontext() if learns else torch.no_grad():
            return pack(self.encoder(input_ids, mask), mask, self._settings.pooling)

    @checked
    def branch_logits(
        self, pooled: Tensor, branches: Sequence[int | str] | None = None, words: Mapping[str, Bags] | None = None
    ) -> dict[str, Tensor]:
        """(batch, d_model) → (batch, num_classes) for each branch: one small product at a time, see the class."""
        words = words or {}
        return {name: branch(pooled, words.get(name)) for name, branch in self._named(branches).items()}

    def words_of(
        self, texts: Sequence[str], branches: Sequence[int | str] | None = None, *, silent: Container[int] = ()
    ) -> dict[str, Bags]:
        """For each branch with a wide part (of the named ones) the terms that it knows of texts, counted once for all.

        silent: numbers of texts that are given no terms.
        """
        heard = ["" if number in silent else text for number, text in enumerate(texts_of(texts))]
        return self._words_of(heard, branches)

    def words_read_back(self, input_ids: Tensor, branches: Sequence[int | str] | None = None) -> dict[str, Bags]:
        """`words_of` of (batch, seq) token ids, as far as the tokenizer keeps words: a row of unknown tokens has none."""
        return self._words_of(self.encoder.texts_of(input_ids), branches)

    def _words_of(self, texts: Sequence[str], branches: Sequence[int | str] | None) -> dict[str, Bags]:
        wide = {name: branch.wide for name, branch in self._named(branches).items() if branch.wide is not None}
        if not wide:
            return {}
        ngrams = tuple(count_ngrams(texts))
        return {name: bags_of(part.vocabulary, ngrams).to(part.weight.device) for name, part in wide.items()}

    def features_of(self, texts: Sequence[str], *, batch_size: int = 64) -> TextFeatures:
        """What branches answer by: `encode(texts)` and, as soon as a branch asks for them, the texts' terms."""
        texts = texts_of(texts)
        return TextFeatures(self.encode(texts, batch_size=batch_size), texts)

    def encode(
        self, texts: Sequence[str], *, batch_size: int = 64, progress: Callable[[int, int], None] | None = None
    ) -> Tensor:
        """(num_texts, d_model): the trunk's pooled vector of each text, in the order given.

        progress: is told after every batch how many texts are done, and how many there are.
        Computed in evaluation mode, whatever the mode of the system, which stays as it is.
        """
        texts, batch_size = texts_of(texts), whole_number(batch_size, "batch_size", least=1)
        token_ids = self.encoder.tokenize(texts)
        out = torch.empty(len(texts), self.encoder.d_model, device=self.encoder.device)
        encoder, trunk = in_evaluation(self.encoder), in_evaluation(self.trunk)
        done = 0
        with torch.inference_mode():
            for rows in batches_by_length([len(ids) for ids in token_ids], batch_size):
                input_ids, mask = encoder.pad([token_ids[row] for row in rows])
                tokens, mask = pack(encoder(input_ids, mask), mask, self._settings.pooling)
                out[rows] = trunk(tokens, mask)[0].to(out.dtype)
                done += len(rows)
                if progress is not None:
                    progress(done, len(texts))
        return out.clone()  # a plain tensor: inference tensors cannot be learnt from

    def encode_together(self, texts: Sequence[str]) -> Tensor:
        """`encode`, up to rounding, of a few texts of any lengths in as little time as can be.

        Where an encoder computes padding, a CPU reads those of like length together, and little padding with them; the trunk,
        which sees no padding, takes all of them at once.
        """
        token_ids = self.encoder.tokenize(texts_of(texts))
        lengths = [len(ids) for ids in token_ids]
        encoder, trunk = in_evaluation(self.encoder), in_evaluation(self.trunk)
        with torch.inference_mode():
            at_once = encoder.leaves_out_padding or encoder.device.type != "cpu"
            groups = [list(range(len(lengths)))] if at_once else like_lengths(lengths)
            read = []
            for rows in groups:
                input_ids, mask = encoder.pad([token_ids[row] for row in rows])
                read.append(pack(encoder(input_ids, mask), mask, self._settings.pooling))
            width = max(mask.shape[1] for _, mask in read)
            masks = torch.cat([F.pad(mask, (0, width - mask.shape[1])) for _, mask in read])
            pooled: Tensor = trunk(torch.cat([tokens for tokens, _ in read]), masks)[0].float()
            back = torch.tensor([row for rows in groups for row in rows], device=pooled.device).argsort()
            pooled = pooled[back]
        return pooled.clone()  # a plain tensor: inference tensors cannot be learnt from

    def predict(
        self,
        texts: Sequence[str],
        *,
        branches: Sequence[int | str] | None = None,
        top_n: int = 3,
        batch_size: int = 64,
    ) -> list[Prediction]:
        """For each text, every branch's label, calibrated confidence, `top_n` best and whether it is unknown.

        Computed in evaluation mode, whatever the mode of the system, which stays as it is. All answers are of the branches
        that stood when it was called: any number of threads may predict at once, also while branches come and go.
        Raises `DataError` for what is no list of texts, naming the first that is none, `ConfigError` for a number that cannot
        be, `UnknownNameError` for a branch that there is not.
        """
        panel = self.panel(branches)
        texts, top_n = texts_of(texts), whole_number(top_n, "top_n", least=1)
        if not texts:
            return []
        return panel.answers(self.features_of(texts, batch_size=batch_size), top_n)

    def panel(self, branches: Sequence[int | str] | None = None) -> Panel:
        """The named branches, or all of them, as they stand at this moment. Raises `UnknownNameError`."""
        panels = self._panels
        return panels.of(self._named(branches).values())

    @checked
    def logits_of(
        self, features: TextFeatures | Tensor, branches: Sequence[int | str] | None = None
    ) -> dict[str, Tensor]:
        """The logits of all branches or of the named ones, in evaluation mode and without gradients.

        features: `features_of(texts)`; of branches without a wide part `encode(texts)` will do, others raise `ConfigError`.
        """
        return {name: branch.evaluate(features) for name, branch in self._named(branches).items()}

    # Proof

    @property
    def probe_texts(self) -> tuple[str, ...]:
        """The texts on which branches are fingerprinted; they are saved with the system."""
        return self._probe_texts

    @property
    def probe_environment(self) -> str:
        """Where the stored outputs on them were computed, "" before any were."""
        return self._probe_environment

    @checked
    def seal_branch(self, name: str, **changes: Any) -> BranchCard:
        """End a branch's training: note what changed on its card and take its fingerprint."""
        return self.seal_branches({name: changes})[name]

    @checked
    def seal_branches(self, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, BranchCard]:
        """`seal_branch` of several, by name: the probe texts are encoded once for all."""
        named = self._named(list(changes))
        sealed = self.sealed(list(named.values()), [changes[name] for name in named])
        self._change(dict(zip(named.values(), sealed, strict=True)))
        return {branch.card.name: branch.card for branch in sealed}

    @checked
    def sealed(self, branches: Sequence[Branch], changes: Sequence[Mapping[str, Any]]) -> list[Branch]:
        """Branches with changes on their cards and the fingerprint of what they now answer; none of them is put into place."""
        if not branches:
            return []
        features = self._probe_features()
        self._probe_environment = proof.this_environment(features.pooled.device, folded=self.encoder.folds_lora)
        probes = [branch.evaluate(features) for branch in branches]
        return [
            branch.with_card(
                branch.card.with_changes(**change, fingerprint=proof.fingerprint_of(probe, branch.wide_digest)),
                probe.cpu(),
            )
            for branch, change, probe in zip(branches, changes, probes, strict=True)
        ]

    def verify(self) -> list[proof.BranchCheck]:
        """Compute every sealed branch's outputs on the probe texts again and compare them with the stored ones."""
        sealed = [branch for branch in self._named().values() if branch.card.fingerprint is not None]
        if not sealed:
            return []
        features, environment = self._probe_features(), self._probe_environment
        checks = []
        for branch in sealed:
            card, stored = branch.card, branch.probe
            assert card.fingerprint is not None
            assert stored is not None
            logits, wide = branch.evaluate(features), branch.wide_digest
            checks.append(
                proof.compare_with_stored(
                    card.name, logits, stored, card.fingerprint, environment, wide, folded=self.encoder.folds_lora
                )
            )
        return checks

    def _probe_features(self) -> TextFeatures:
        """What branches see of the probe texts, all in one batch."""
        return self.features_of(self._probe_texts, batch_size=len(self._probe_texts))

    # Keeping

    @checked
    def save_pretrained(self, folder: str | Path, *, include_encoder: bool = False) -> None:
        """Write config.json, model.safetensors and a README card; `folder` is replaced whole or not at all.

        include_encoder: also write the encoder, so that the folder needs nothing else; otherwise it is named, and the
        hash of its weights is kept. Raises `StorageError` when the disk is full (what stood there is unchanged), and
        `ConflictError` when the system came from this folder or was saved there, and somebody else has saved another one since.
        """
        place = Path(os.path.realpath(folder))
        replaces: str | AnyVersion | None = self._saved_versions.get(place, ANY)
        if replaces is not ANY and version_of(place) is None:
            replaces = None  # it was removed: nobody's change can be lost
        self._saved_versions[place] = write_folder(
            folder, lambda scratch: self._write(scratch, include_encoder), kind=SYSTEM, replaces=replaces
        )

    def _write(self, scratch: Path, include_encoder: bool) -> None:
        branches = self.branches
        named = {name: Cards(branches).branch(name) for name in Cards(branches)}
        write_json(scratch / "config.json", self._description(branches, include_encoder))
        own = branches.state_dict(prefix=_BRANCHES)
        probes = {f"{_PROBE}{name}": branch.probe for name, branch in named.items() if branch.probe is not None}
        words = {f"{_WORDS}{name}.{part}": t for name, b in named.items() for part, t in b.words.items()}
        directions = {f"{_DIRECTIONS}{n}": b.directions for n, b in named.items() if b.directions is not None}
        beside = {**probes, **words, **directions}
        save_tensors(scratch / "model.safetensors", {**self.shared_tensors(), **own, **beside})
        learnt = {f"{_LEARNT}{n}": branch.learnt.digests for n, branch in named.items() if branch.learnt is not None}
        if learnt:
            save_arrays(scratch / _LEARNT_FILE, learnt)
        (scratch / "README.md").write_text(
            card_text(self._config_of(branches), Cards(branches), self._num_params_with(named)), encoding="utf-8"
        )
        if include_encoder:
            self.encoder.save(scratch / "encoder")

    @checked
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
            with atomic_folder(Path(scratch) / "model", kind=SYSTEM) as model:
                self._write(model, include_encoder)
            return upload(Path(scratch) / "model", repo_id, what="A system", private=private, token=token, api=api)

    @classmethod
    @checked
    def from_pretrained(
        cls,
        folder_or_hub_id: str | Path,
        *,
        encoder: Encoder | None = None,
        beside: Sequence["InterconnectedAISystem"] = (),
    ) -> Self:
        """The system saved in this folder (or in a hub repository); checksums, shapes and version are checked.

        encoder: an `Encoder` already in memory, in place of the one the folder names. beside: systems in memory; where one of
        them has the same pretrained encoder, its weights are not loaded again, whatever LoRAs there are.
        """
        folder = local_folder(folder_or_hub_id)
        return read_folder(folder, lambda place: cls._read(place, encoder, beside), kind=SYSTEM)

    @classmethod
    def _read(cls, folder: Path, encoder: Encoder | None, beside: Sequence["InterconnectedAISystem"]) -> Self:
        version = version_of(folder)
        known = read_json(folder / "config.json")
        config = SystemConfig.from_mapping(known["system"], source=str(folder / "config.json"))
        encoder = encoder or _encoder_of_one(beside, known, config)
        if encoder is None:
            inside = folder / "encoder"
            source = str(inside) if inside.is_dir() else config.base_model_name
            encoder = Encoder.load(source, max_seq_len=config.max_seq_len)
            encoder.name = config.base_model_name
        elif config.encoder_lora_rank and not encoder.has_lora:
            encoder = encoder.twin()  # or whoever else has it would get this system's LoRA
        _require_known_encoder(encoder, known, folder)
        system = cls.from_config(config, encoder=encoder, seed=known["seed"])
        tensors = load_tensors(folder / "model.safetensors")
        apart = (_PROBE, _WORDS, _DIRECTIONS)
        system._take_tensors({n: t for n, t in tensors.items() if not n.startswith(apart)}, folder)
        system._probe_texts = tuple(known["probe"]["texts"])
        system._probe_environment = known["probe"]["environment"]
        # In a file of its own, which versions that know nothing of it leave alone.
        learnt = load_arrays(folder / _LEARNT_FILE) if (folder / _LEARNT_FILE).is_file() else {}
        for branch, card in zip(system._named().values(), known["branches"], strict=True):
            branch.card = BranchCard.from_mapping(card, source=str(folder / "config.json"))
            branch.probe = tensors.get(f"{_PROBE}{branch.card.name}")
            digests = learnt.get(f"{_LEARNT}{branch.card.name}")
            branch.learnt = None if digests is None else KnownTexts(digests)
            branch.directions = _directions_of(branch, tensors, folder)
            _take_vocabulary(branch, tensors, known, folder)
            if branch.card.fingerprint is not None and branch.probe is None:
                raise IntegrityError(
                    f"{folder}: model.safetensors lacks the outputs that branch {branch.card.name!r} is verified against; "
                    "restore it from a copy"
                )
        if known["trunk_is_trained"]:
            system.freeze_trunk()
        if version is not None:
            system._saved_versions[Path(os.path.realpath(folder))] = version
        return system

    def _take_tensors(self, saved: Mapping[str, Tensor], folder: Path) -> None:
        """Load weights, refusing names and shapes that do not fit the config."""
        ours = {n: t for n, t in self.state_dict().items() if _is_ours(n)}
        if not any(name.startswith(_STATISTICS) for name in saved):
            # An older system handed the encoder's vectors on as they are, as this one does before it is trained.
            saved = {**{n: t for n, t in ours.items() if n.startswith(_STATISTICS)}, **saved}
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

    def _description(self, branches: nn.ModuleDict, include_encoder: bool) -> dict[str, Any]:
        return {
            "system": self._config_of(branches).to_dict(),
            "seed": self.seed,
            "trunk_is_trained": self.trunk_is_trained,
            "encoder": self._settings.base_model_name or EMBEDDED_ENCODER,
            "encoder_included": include_encoder,
            "encoder_sha256": self.encoder.weights_fingerprint,
            "tokenizer_sha256": self.encoder.tokenizer_fingerprint,
            "branches": [card.to_dict() for card in Cards(branches).values()],
            "terms": ngrams_signature() if any(card.spec.num_terms for card in Cards(branches).values()) else None,
            "probe": {"texts": list(self._probe_texts), "environment": self._probe_environment},
        }


class DenseSystem(InterconnectedAISystem):
    """The dense twin: one dense FFN in place of every MoE layer. A yardstick; `InterconnectedAISystem` is the product.

    What may be called at once: see `InterconnectedAISystem`.
    """

    def __init__(self, base_model_name: str | None = None, num_branches: int = 3, **settings: Any) -> None:
        super().__init__(base_model_name, num_branches=num_branches, **{**settings, "ffn": "dense"})

    @classmethod
    @checked
    def twin_of(cls, system: InterconnectedAISystem) -> InterconnectedAISystem:
        """An untrained dense twin of an MoE system, on the same frozen encoder (its size: `planner.dense_twin`).

        With an encoder LoRA, which trains, the twin gets one of its own beside the same frozen weights.
        """
        config = dense_twin(system.config, system.encoder.d_model)
        return cls.from_config(config, encoder=system.encoder.without_lora(), seed=system.seed)


def _require_a_token(mask: Tensor) -> None:
    """Raise `DataError` for a row of padding alone: there is nothing to answer."""
    if not mask.numel() or not bool(mask.any(dim=1).all()):
        row = int(mask.any(dim=1).int().argmin()) if mask.numel() else 0
        raise DataError(f"row {row} of the token ids is padding alone; leave it out, or give an attention_mask")


def _encoder_of_one(
    systems: Sequence[InterconnectedAISystem], known: Mapping[str, Any], config: SystemConfig
) -> Encoder | None:
    """The pretrained encoder of the first of these systems that has the one a saved system was trained on."""
    for system in systems:
        encoder = system.encoder
        if (
            system.config.max_seq_len == config.max_seq_len
            and encoder.weights_fingerprint == known["encoder_sha256"]
            and encoder.tokenizer_fingerprint == known.get("tokenizer_sha256")
        ):
            return encoder.without_lora()
    return None


def _require_known_encoder(encoder: Encoder, known: Mapping[str, Any], folder: Path) -> None:
    """Raise `IntegrityError` unless this is the encoder that a saved system was trained on.

    Folders that were saved before tokenizers were told apart say nothing of theirs; their encoder is known by its weights.
    """
    named = known["system"].get("base_model_name") or EMBEDDED_ENCODER
    if encoder.weights_fingerprint != known["encoder_sha256"]:
        raise IntegrityError(
            f"{folder} was trained on the encoder {named!r} with other weights or prefix ({known['encoder_sha256'][:12]}…) "
            f"than the one loaded ({encoder.weights_fingerprint[:12]}…); load that encoder, or save with include_encoder=True"
        )
    tokenizer = known.get("tokenizer_sha256", encoder.tokenizer_fingerprint)
    if encoder.tokenizer_fingerprint != tokenizer:
        raise IntegrityError(
            f"{folder} was trained on the encoder {named!r} with another tokenizer ({tokenizer[:12]}…) than the one loaded "
            f"({encoder.tokenizer_fingerprint[:12]}…): its files were changed, or the installed tokenizers library reads them "
            "otherwise; load that encoder, or save with include_encoder=True"
        )


def require_same_shared_parts(system: InterconnectedAISystem, other: InterconnectedAISystem) -> None:
    """Raise `ConflictError` unless encoder, encoder LoRA and trunk of two systems are the same to the last bit."""
    differs = None
    if system.encoder.fingerprint != other.encoder.fingerprint:
        differs = "encoder"
    elif shared_settings(system) != shared_settings(other):
        differs = "shape"
    else:
        ours, theirs = system.shared_tensors(), other.shared_tensors()
        if ours.keys() != theirs.keys():
            differs = "shape"
        elif not all(torch.equal(tensor.cpu(), theirs[name].cpu()) for name, tensor in ours.items()):
            differs = "trunk"
    if differs:
        raise ConflictError(
            f"the {differs} of the two systems differs; a branch gives its outputs on its own trunk only"
        )


def _is_same(branch: Branch, other: Branch | None) -> bool:
    """Whether two branches answer alike, as their fingerprints prove."""
    return other is not None and branch.card.fingerprint is not None and branch.card == other.card


def _directions_of(branch: Branch, tensors: Mapping[str, Tensor], folder: Path) -> Tensor | None:
    """A branch's class directions; None in a folder written before they were kept."""
    directions, shape = tensors.get(f"{_DIRECTIONS}{branch.card.name}"), branch.head.weight.shape
    if directions is not None and directions.shape != shape:
        raise IntegrityError(
            f"{folder}: the class directions of branch {branch.card.name!r} are {tuple(directions.shape)}, the config says "
            f"{tuple(shape)}; restore the folder from a copy"
        )
    # A tensor of its own: as a part of the file it may lie at an odd address, where a product rounds otherwise.
    return None if directions is None else directions.to(branch.head.weight.device, copy=True)


def shared_settings(system: InterconnectedAISystem) -> SystemConfig:
    """The shape of what branches share, and the encoder's name."""
    return system._settings.with_changes(wide_terms=0)


def _take_vocabulary(branch: Branch, tensors: Mapping[str, Tensor], known: Mapping[str, Any], folder: Path) -> None:
    """Give a branch that was read from a folder the terms of its wide part."""
    if branch.wide is None:
        return
    name, num_terms = branch.card.name, len(branch.wide.vocabulary)
    if known.get("terms") != ngrams_signature():
        raise FormatVersionError(
            f"{folder}: the words of branch {name!r} were told apart by {known.get('terms')!r}, this package does so by "
            f"{ngrams_signature()!r} and would read others; train the branch again, or use the package that saved it"
        )
    found = [tensors.get(f"{_WORDS}{name}.{part}") for part in ("terms", "rarity")]
    if any(tensor is None or tensor.shape != (num_terms,) for tensor in found):
        raise IntegrityError(
            f"{folder}: model.safetensors lacks the {num_terms} terms of branch {name!r}; restore it from a copy"
        )
    terms, rarity = (tensor.numpy() for tensor in found if tensor is not None)
    branch.wide.vocabulary = Vocabulary(terms, rarity)


def _is_ours(tensor_name: str) -> bool:
    """Whether a tensor of the state dict belongs to the system itself and not to the pretrained encoder."""
    return not tensor_name.startswith("encoder.") or ".lora." in tensor_name
