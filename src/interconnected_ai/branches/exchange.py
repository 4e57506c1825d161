"""One branch as one file, between systems that have the same encoder and trunk: what it is, and all that it answers by."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from interconnected_ai.arguments import checked
from interconnected_ai.branches import fingerprint as proof
from interconnected_ai.branches.branch import Branch
from interconnected_ai.branches.system import InterconnectedAISystem, shared_settings
from interconnected_ai.config import BranchCard, Record, SystemConfig
from interconnected_ai.errors import ConfigError, ConflictError, FormatVersionError, IntegrityError, NotAModelError
from interconnected_ai.storage import (
    atomic_file,
    load_described_tensors,
    refuse_standing,
    save_tensors,
)
from interconnected_ai.text import KnownTexts, Vocabulary, ngrams_signature

KIND = "interconnected_ai branch"
FORMAT_VERSION = 1
_DESCRIPTION = "description"  # the one key of the file's metadata, since several would stand in any order
_WEIGHTS, _TERMS, _RARITY, _DIRECTIONS, _PROBE, _LEARNT = (
    "weights.", "words.terms", "words.rarity", "directions", "probe", "learnt",
)  # fmt: skip
_KINDS = {_TERMS: torch.int64, _RARITY: torch.float32, _LEARNT: torch.int64}
_MOST_ROUNDING = 1e-3  # of a logit, between machines


class _Described(Record):
    """What a file says of its branch, beside the tensors.

    shape, encoder_sha256, trunk_sha256: what it stands on. terms: how its words are told apart, None where it knows none.
    """

    kind: str
    format_version: int
    card: BranchCard
    shape: SystemConfig
    encoder_sha256: str
    trunk_sha256: str
    terms: str | None
    probe_texts: Annotated[tuple[str, ...], Field(strict=False)]
    probe_environment: str


@checked
def export_branch(
    system: InterconnectedAISystem, name: int | str, path: str | Path, *, overwrite: bool = False
) -> Path:
    """Write a branch into one safetensors file, whole or not at all: weights, words, card, fingerprint and its stored outputs.

    The file names encoder and trunk by their hashes; it holds hashes of the texts that were learnt, and no text but the probe
    texts. Beside anything that others do with the system. Raises `StorageError` where a file stands, unless overwrite.
    """
    path, branch = Path(path), system.branch(name)
    refuse_standing(path, overwrite=overwrite, name="the branch's file")
    described = _Described(
        kind=KIND,
        format_version=FORMAT_VERSION,
        card=branch.card,
        shape=_shape_of(system),
        encoder_sha256=system.encoder.fingerprint,
        trunk_sha256=_trunk_sha256(system),
        terms=ngrams_signature() if branch.wide is not None else None,
        probe_texts=system.probe_texts,
        probe_environment=system.probe_environment,
    )
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _tensors_of(branch).items()}
    said = json.dumps(described.to_dict(), ensure_ascii=False, sort_keys=True)
    with atomic_file(path) as scratch:
        save_tensors(scratch, tensors, {_DESCRIPTION: f"{_digest(said, tensors)} {said}"})
    return path


@checked
def import_branch(
    system: InterconnectedAISystem, path: str | Path, *, name: str | None = None, overwrite: bool = False
) -> BranchCard:
    """Add the branch of a file to a system with the same encoder and trunk; there it gives the outputs that it gave.

    name: another than it has in the file. overwrite: it takes the place of a branch of that name. The others stay as they are,
    bit for bit, and so does everything when this raises. What it answers here to the probe texts is compared with what the
    file says before it is added; where this system has other probe texts, or stored outputs of another machine, its
    fingerprint is taken anew.

    Raises `NotAModelError` for a file of another kind, `IntegrityError` for one that is cut, altered or answers otherwise,
    `FormatVersionError` for one of a newer version, `ConflictError` for another encoder, shape or trunk, `ConfigError` for a
    name that is taken. Threads may predict meanwhile.
    """
    path = Path(path)
    described, tensors = _read(path)
    _require_same_ground(system, described, path)
    card = described.card
    if name is not None:
        card = card.with_changes(spec=card.spec.with_changes(name=name).to_dict())
    standing = system.branch(card.name) if card.name in system.cards else None
    if standing is not None and not overwrite:
        raise ConfigError(
            f"branch {card.name!r} exists already; give the new one another name (--name, name=), or replace it "
            "(--overwrite, overwrite=True)"
        )
    branch = _built(system, card, described, tensors, path)
    _require_same_answers(system, branch, described, path)
    branch, environment = _proved_here(system, branch, described)
    if standing is None:
        system.put_branch(branch, environment=environment)
    else:
        system.replace_branch(standing, branch)
    return branch.card


def _tensors_of(branch: Branch) -> dict[str, Tensor]:
    """All tensors that a file holds."""
    beside = {
        _TERMS: branch.words.get("terms"),
        _RARITY: branch.words.get("rarity"),
        _DIRECTIONS: branch.directions,
        _PROBE: branch.probe,
        _LEARNT: None if branch.learnt is None else torch.from_numpy(branch.learnt.digests.view("int64")),
    }
    own = {f"{_WEIGHTS}{name}": tensor for name, tensor in branch.state_dict().items()}
    return {**own, **{name: tensor for name, tensor in beside.items() if tensor is not None}}


def _read(path: Path) -> tuple[_Described, dict[str, Tensor]]:
    """What the file says and holds, found unaltered."""
    tensors, metadata = load_described_tensors(path)
    digest, _, said = metadata.get(_DESCRIPTION, "").partition(" ")
    content = _parsed(path, said) if said else {}
    if content.get("kind") != KIND:
        raise NotAModelError(f"{path} holds no branch; needs a file that `iai branch export` wrote")
    version = content.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise FormatVersionError(
            f"{path} has format version {version!r}, this package reads up to {FORMAT_VERSION}; upgrade interconnected-ai"
        )
    if digest != _digest(said, tensors):
        raise IntegrityError(f"{path} was altered after it was written (its SHA-256 differs); export the branch again")
    try:
        return _Described.from_mapping(content, source=str(path)), tensors
    except ConfigError as error:
        raise IntegrityError(f"{path} does not say what a branch's file says: {error}; export it again") from error


def _parsed(path: Path, said: str) -> dict[str, Any]:
    try:
        content = json.loads(said)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} holds a description that is no JSON: {error}; export the branch again") from error
    return content if isinstance(content, dict) else {}


def _digest(said: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the description and of all tensors, by their names."""
    found = hashlib.sha256(said.encode())
    _add(found, tensors)
    return found.hexdigest()


def _trunk_sha256(system: InterconnectedAISystem) -> str:
    found = hashlib.sha256()
    _add(found, {name: tensor.detach().cpu().contiguous() for name, tensor in system.shared_tensors().items()})
    return found.hexdigest()


def _add(found: "hashlib._Hash", tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())


def _shape_of(system: InterconnectedAISystem) -> SystemConfig:
    """What branches share, whatever the encoder is called here: its hash says which it is."""
    return shared_settings(system).with_changes(base_model_name=None)


def _require_same_ground(system: InterconnectedAISystem, described: _Described, path: Path) -> None:
    """Raise `ConflictError` unless encoder, shape and trunk are those that the branch was trained on."""
    if described.encoder_sha256 != system.encoder.fingerprint:
        what, theirs, ours = "encoder", described.encoder_sha256[:12], system.encoder.fingerprint[:12]
    elif described.shape != (shape := _shape_of(system)):
        before, here = described.shape.to_dict(), shape.to_dict()
        key = next(key for key in here if here[key] != before[key])
        what, theirs, ours = "shape", f"{key} = {before[key]}", f"{key} = {here[key]}"
    elif described.trunk_sha256 != (trunk := _trunk_sha256(system)):
        what, theirs, ours = "trunk", described.trunk_sha256[:12], trunk[:12]
    else:
        return
    raise ConflictError(
        f"{path}: the branch was trained on another {what} ({theirs}) than this system has ({ours}), and gives its outputs on "
        "its own alone. Import it into a copy of the system that it comes from, or train it here: iai branch add"
    )


def _built(
    system: InterconnectedAISystem, card: BranchCard, described: _Described, tensors: Mapping[str, Tensor], path: Path
) -> Branch:
    """The branch that the tensors make, in no system yet. Sizes are compared before anything of theirs is built."""
    spec = card.spec
    d_model, num_terms = system.encoder.d_model, spec.num_terms
    expected: dict[str, tuple[int, ...]] = {f"{_WEIGHTS}head.weight": (spec.num_classes, d_model)}
    if num_terms:
        expected |= {
            f"{_WEIGHTS}wide.weight": (num_terms, spec.num_classes), _TERMS: (num_terms,), _RARITY: (num_terms,),
        }  # fmt: skip
    if _DIRECTIONS in tensors:
        expected[_DIRECTIONS] = (spec.num_classes, d_model)
    if card.fingerprint is not None:
        expected[_PROBE] = (len(described.probe_texts), spec.num_classes)
    _require_shapes(tensors, expected, path)
    if wrong := [name for name, kind in _KINDS.items() if name in tensors and tensors[name].dtype != kind]:
        raise IntegrityError(f"{path}: {wrong[0]} is {tensors[wrong[0]].dtype}, needed is {_KINDS[wrong[0]]}")
    if num_terms and described.terms != ngrams_signature():
        raise FormatVersionError(
            f"{path}: the branch's words were told apart by {described.terms!r}, this package does so by "
            f"{ngrams_signature()!r} and would read others; train the branch again, or use the package that wrote the file"
        )
    branch = system.untrained_branch(spec)
    weights = {name.removeprefix(_WEIGHTS): t for name, t in tensors.items() if name.startswith(_WEIGHTS)}
    own = branch.state_dict()
    if own.keys() != weights.keys():
        raise IntegrityError(f"{path} has other weights than a branch of this system; export it again")
    _require_shapes(weights, {name: tuple(tensor.shape) for name, tensor in own.items()}, path)
    branch.load_state_dict(weights)
    if branch.wide is not None:
        branch.wide.vocabulary = Vocabulary(tensors[_TERMS].numpy(), tensors[_RARITY].numpy())
    if _DIRECTIONS in tensors:
        branch.directions = tensors[_DIRECTIONS].to(branch.head.weight.device)
    if _LEARNT in tensors:
        branch.learnt = KnownTexts(tensors[_LEARNT].numpy().view("uint64"))
    return branch.with_card(card, tensors.get(_PROBE) if card.fingerprint is not None else None)


def _require_shapes(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], path: Path) -> None:
    for name, shape in expected.items():
        found = tensors.get(name)
        if found is None or tuple(found.shape) != shape:
            told = "is not there" if found is None else f"is {tuple(found.shape)}"
            raise IntegrityError(f"{path}: {name} {told}, needed is {shape}; export the branch again")


def _require_same_answers(system: InterconnectedAISystem, branch: Branch, described: _Described, path: Path) -> None:
    """Raise `IntegrityError` unless the branch answers the probe texts here as it did when its training ended."""
    if branch.card.fingerprint is None or branch.probe is None:
        return
    texts = list(described.probe_texts)
    check = proof.compare_with_stored(
        branch.card.name,
        branch.evaluate(system.features_of(texts, batch_size=len(texts))),
        branch.probe,
        branch.card.fingerprint,
        described.probe_environment,
        branch.wide_digest,
    )
    if not check.identical and (check.same_machine or not check.max_abs_diff <= _MOST_ROUNDING):
        raise IntegrityError(
            f"{path}: the branch does not give here the outputs that it gave where it was trained (max |Δ| = "
            f"{check.max_abs_diff:g}); nothing was added. Export it again"
        )


def _proved_here(system: InterconnectedAISystem, branch: Branch, described: _Described) -> tuple[Branch, str]:
    """The branch with a fingerprint that `verify` understands here, and where its stored outputs were computed.

    Its own one, unless this system has other probe texts, or all its stored outputs are of this machine and the file's are not.
    """
    own = branch, described.probe_environment
    if branch.card.fingerprint is None:
        return own
    here, theirs = proof.this_environment(system.encoder.device), described.probe_environment
    has_others = any(card.fingerprint is not None for card in system.cards.values())
    would_mislead = has_others and theirs != system.probe_environment == here
    if described.probe_texts == system.probe_texts and not would_mislead:
        return own
    logits = branch.evaluate(system.features_of(system.probe_texts, batch_size=len(system.probe_texts)))
    card = branch.card.with_changes(fingerprint=proof.fingerprint_of(logits, branch.wide_digest))
    return branch.with_card(card, logits.cpu()), here
