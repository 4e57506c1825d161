"""A mixture of a pretrained base and its adapted siblings, and the story of surgery on it (`iai surgery quickstart --base`).

Branch-train-mix (Sukhbaatar et al. 2024): every sibling brings its feed-forward blocks as experts, all else is their mean, the
routers are trained on text of all libraries. Beside it stand the base, each sibling, and the mean of their weights.
"""

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from interconnected_ai.bench.expert_quickstart import quickstart_config
from interconnected_ai.bench.surgery_quickstart import (
    SEEN,
    UNSEEN,
    Course,
    Say,
    SurgeryQuickstart,
    Texts,
    Trained,
    library_texts,
    operate,
)
from interconnected_ai.data import TEST, TRAIN, survey
from interconnected_ai.data import Texts as Corpus
from interconnected_ai.errors import NotAModelError
from interconnected_ai.experts import Base, CausalLM, find_base, merge_into
from interconnected_ai.storage import refuse_standing
from interconnected_ai.surgery import MoE, TextModel, perplexity, tune, upcycle
from interconnected_ai.text import PretrainedTokenizer
from interconnected_ai.training import owned

TOP_K = 2
ROUTER_STEPS, ROUTER_RATE, ROUTER_PROMPTS = 40, 1e-2, 24
# A step passes 374 million parameters, so there are few of few tokens.
COURSE = Course(
    batch_size=4, seq_tokens=128, role_steps=20, expert_steps=12, per_layer=1, adapter_rate=2e-3, insertion_rate=1e-4,
    most_measured=24,
)  # fmt: skip
BALANCE_WEIGHT = 0.001


@dataclass(frozen=True)
class Dense:
    """A dense model and its tokenizer, as `perplexity` reads them."""

    model: Any
    tokenizer: Any


def run_base_surgery_quickstart(
    folder: Path,
    base: str,
    experts: Path,
    *,
    router_steps: int | None = None,
    course: Course = COURSE,
    most_texts: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    say: Say = lambda sentence: None,
) -> SurgeryQuickstart:
    """Mix the base with the adapters `stdlib`, `numpy` and `torch` of `experts`, and operate on the mixture.

    Raises `NotAModelError` where one of the adapters is absent, `AdapterError` for adapters of another base, `StorageError`
    where models stand in `folder` and `overwrite` is not asked for, `BusyError` while another is at work there.
    """
    folders = {name: experts / name for name in SEEN}
    if absent := [str(place) for place in folders.values() if not place.is_dir()]:
        raise NotAModelError(
            f"no adapter at {absent[0]}; make the three of them: iai expert quickstart --base {base} --output {experts}"
        )
    with owned(folder):
        for name in ("base", "role", "grown", "use.png", "quickstart.json"):
            refuse_standing(folder / name, overwrite=overwrite)
        started = time.perf_counter()
        say("Reading the documentation of Python, NumPy, PyTorch and scikit-learn …")
        texts = domain_texts(most=most_texts, seed=seed)
        moe, of_base, trained = mixture_of_base(
            find_base(base),
            folders,
            texts,
            router_steps=router_steps or ROUTER_STEPS,
            course=course,
            seed=seed,
            say=say,
        )
        return operate(folder, moe, texts, trained, course, started=started, seed=seed, say=say, of_base=of_base)


def domain_texts(*, most: int | None = None, seed: int = 0) -> dict[str, Texts]:
    """The libraries' documents on the sides that the expert quickstart has them: none that is measured on was learnt."""
    found = {}
    for domain in SEEN:
        sides: dict[int, list[str]] = {TRAIN: [], TEST: []}
        for side, _, document in survey(Corpus.of_config(quickstart_config(Path(), domain).text)).documents():
            if side in sides:
                sides[side].append(document.text)
        found[domain] = Texts(*(_shuffled(sides[side], seed)[:most] for side in (TRAIN, TEST)))
    return found | library_texts([UNSEEN], most=most, seed=seed)


def mixture_of_base(
    base: Base,
    adapters: Mapping[str, Path],
    texts: Mapping[str, Texts],
    *,
    router_steps: int = ROUTER_STEPS,
    course: Course = COURSE,
    seed: int = 0,
    say: Say = lambda sentence: None,
) -> tuple[MoE, dict[str, dict[str, float]], Trained]:
    """The mixture with its routers trained; perplexities of the dense models and of the mixture, by model and library; and how
    the routers were trained.
    """
    tokenizer = _tokenizer_of(base)
    say(f"Merging {', '.join(adapters)} into {base.name}; perplexities of each …")
    dense = CausalLM.from_pretrained(base).network
    siblings = {base.name: dense} | {name: _merged(dense, base, place) for name, place in adapters.items()}

    def measured(model: TextModel) -> dict[str, float]:
        return {
            library: perplexity(model, some.held[: course.most_measured], max_tokens=course.seq_tokens)
            for library, some in texts.items()
        }

    found = {name: measured(Dense(model, tokenizer)) for name, model in siblings.items()}
    found["mean of weights"] = measured(Dense(_mean(list(siblings.values())), tokenizer))
    mixed = _shuffled([text for name in adapters for text in texts[name].learnt], seed)
    prompts: list[Sequence[str]] = [mixed[:ROUTER_PROMPTS]]
    prompts += [texts[name].learnt[:ROUTER_PROMPTS] for name in adapters]
    say(f"A mixture of {len(siblings)} experts a layer, {TOP_K} of them for each token …")
    moe = upcycle(list(siblings.values()), len(siblings), TOP_K, prompts=prompts, tokenizer=tokenizer, seed=seed)
    siblings.clear()
    del dense
    found["mixture, routers as pointed"] = measured(moe)
    say(f"Training its routers on text of all three: {router_steps} steps …")
    began = time.perf_counter()
    losses = tune(
        moe, mixed, moe.train_only("router"), steps=router_steps, batch_size=course.batch_size,
        seq_tokens=course.seq_tokens, learning_rate=ROUTER_RATE, balance_weight=BALANCE_WEIGHT, seed=seed,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    moe.settle_opened()
    found["mixture, routers trained"] = measured(moe)
    return moe, found, Trained(losses, seconds, router_steps * course.batch_size * course.seq_tokens / seconds)


def _tokenizer_of(base: Base) -> Any:
    """transformers' tokenizer of the base, which a saved mixture brings along."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if base.form != "gguf":
        return AutoTokenizer.from_pretrained(base.path, trust_remote_code=False, local_files_only=True)
    own = PretrainedTokenizer.from_gguf(base.path)
    return PreTrainedTokenizerFast(
        tokenizer_object=copy.deepcopy(own.fast), eos_token=own.token(own.end_id), pad_token=own.token(own.end_id)
    )


def _merged(dense: Any, base: Base, adapter: Path) -> Any:
    """A copy of the base with the adapter in its weights."""
    sibling = copy.deepcopy(dense)
    merge_into(sibling, adapter, base)
    return sibling


@torch.no_grad()
def _mean(models: Sequence[Any]) -> Any:
    """One dense model, every tensor the mean over these."""
    found = copy.deepcopy(models[0])
    others = [dict(model.named_parameters()) for model in models[1:]]
    for name, parameter in found.named_parameters():
        for other in others:
            parameter += other[name]
        parameter /= len(models)
    return found


def _shuffled(texts: Sequence[str], seed: int) -> list[str]:
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(seed)).tolist()
    return [texts[place] for place in order]
