"""The story of surgery on a mixture of experts that this machine trains itself, on documentation that is on it already.

Usage per library → the experts worth training → LoRA on two of them for one library → a role token that switches them on → a
new expert that changes nothing until it is let in, trained on a text the model never saw → saved, opened by vanilla
transformers.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from interconnected_ai.bench.timing import machine
from interconnected_ai.data import documentation
from interconnected_ai.extras import require
from interconnected_ai.storage import refuse_standing
from interconnected_ai.surgery import MoE, Role, TextModel, make_role, perplexity, tune
from interconnected_ai.surgery import open as open_moe
from interconnected_ai.text import END, Tokenizer
from interconnected_ai.training import owned, write_json_safely

SEEN, UNSEEN, ROLE = ("stdlib", "numpy", "torch"), "sklearn", "numpy"
VOCABULARY, SEQ_TOKENS, BATCH = 4096, 128, 16
STEPS, ROLE_STEPS, EXPERT_STEPS = 700, 160, 80
# A stronger balance loss makes every library use all experts alike, so that none is worth more than another for any.
BALANCE_WEIGHT = 0.001
ADAPTER_RATE = 1e-2  # an update that starts at zero wants a higher rate than the weights under it
HELD_OUT, MOST_MEASURED, MOST_ASKED = 0.05, 40, 200
Say = Callable[[str], None]


@dataclass(frozen=True)
class Course:
    """How much is trained in the story's parts. per_layer: experts of a layer that get adapters; insertion_rate: of the new
    expert's whole matrices.
    """

    batch_size: int = BATCH
    seq_tokens: int = SEQ_TOKENS
    role_steps: int = ROLE_STEPS
    expert_steps: int = EXPERT_STEPS
    per_layer: int = 2
    adapter_rate: float = ADAPTER_RATE
    insertion_rate: float = 1e-3
    most_measured: int | None = MOST_MEASURED


@dataclass(frozen=True)
class Texts:
    """One library's documents: to learn from, and held out."""

    learnt: list[str]
    held: list[str]


@dataclass(frozen=True)
class Insertion:
    """A new expert in every layer. same_bits: outputs while it was closed equalled those before, to the last bit.

    perplexities: domain → before, and after it was trained on the unseen library and let in. vanilla_equal: transformers' own
    `from_pretrained` gives the same logits, to the last bit.
    """

    experts: dict[int, int]
    same_bits: bool
    before: dict[str, float]
    after: dict[str, float]
    vanilla_equal: bool


@dataclass(frozen=True)
class SurgeryQuickstart:
    """Everything `iai surgery quickstart` prints. entropy: domain → evenness of use, mean over layers.

    train_seconds, tokens_per_second, losses: of the model, or of the routers of a mixture of adapted bases. of_base: model →
    library → perplexity, of the dense models beside such a mixture.
    """

    folder: Path
    num_params: int
    num_experts: int
    train_seconds: float
    tokens_per_second: float
    loss_first: float
    loss_last: float
    perplexity: dict[str, float]
    entropy: dict[str, float]
    suggested: dict[int, tuple[int, ...]]
    adapter_experts: dict[int, tuple[int, ...]]
    adapter_before: dict[str, float]
    adapter_after: dict[str, float]
    role: Role
    insertion: Insertion
    heat_map: Path | None
    seconds: float
    of_base: dict[str, dict[str, float]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plain = asdict(self) | {"folder": str(self.folder), "heat_map": str(self.heat_map) if self.heat_map else None}
        plain["role"].pop("losses")
        return {"machine": machine(), **plain}


def library_texts(
    libraries: Sequence[str] = (*SEEN, UNSEEN),
    *,
    most: int | None = None,
    held_out: float = HELD_OUT,
    most_measured: int | None = MOST_MEASURED,
    seed: int = 0,
) -> dict[str, Texts]:
    """Documents of installed libraries, shuffled, a part held out. most: of each; most_measured: of those held out; None is
    all.
    """
    found = {}
    for library in libraries:
        documents = [document.text for document in documentation(library)]
        order = torch.randperm(len(documents), generator=torch.Generator().manual_seed(seed)).tolist()[:most]
        number = max(2, round(held_out * len(order)))
        found[library] = Texts(
            [documents[i] for i in order[number:]], [documents[i] for i in order[:number]][:most_measured]
        )
    return found


def fresh_model(texts: Mapping[str, Texts], folder: Path, *, seed: int = 0) -> MoE:
    """An untrained Qwen3-MoE (4 layers, 16 experts, top-4) with a BPE tokenizer learnt from the texts it will see."""
    from transformers import PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM

    learnt = [text for library in SEEN for text in texts[library].learnt]
    folder.mkdir(parents=True, exist_ok=True)
    Tokenizer.train(learnt, VOCABULARY).save(folder / "tokenizer.json")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), eos_token=END, pad_token=END)
    config = Qwen3MoeConfig(
        vocab_size=len(tokenizer), hidden_size=160, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        head_dim=40, moe_intermediate_size=96, intermediate_size=96, num_experts=16, num_experts_per_tok=4, norm_topk_prob=True,
        tie_word_embeddings=True, max_position_embeddings=512, pad_token_id=None, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(seed)
    return MoE(Qwen3MoeForCausalLM(config), tokenizer)


def run_surgery_quickstart(
    folder: Path,
    *,
    steps: int = STEPS,
    role_steps: int = ROLE_STEPS,
    expert_steps: int = EXPERT_STEPS,
    most_texts: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    say: Say = lambda sentence: None,
) -> SurgeryQuickstart:
    """Train the model and tell the story; writes `base`, `role` and `grown` into the folder, and the heat map.

    most_texts: of each library; None takes all. Minutes on two cores; the steps say how many. overwrite: replace the models of
    an earlier one; `StorageError` where they stand and it is not asked for, `BusyError` while another is at work in the folder.
    """
    with owned(folder):
        for name in ("base", "role", "grown", "use.png", "quickstart.json"):
            refuse_standing(folder / name, overwrite=overwrite)
        return _run_quickstart(folder, steps, role_steps, expert_steps, most_texts, seed, say)


def _run_quickstart(
    folder: Path, steps: int, role_steps: int, expert_steps: int, most_texts: int | None, seed: int, say: Say
) -> SurgeryQuickstart:
    started = time.perf_counter()
    say("Reading the documentation of Python, NumPy, PyTorch and scikit-learn …")
    texts = library_texts(most=most_texts, seed=seed)
    moe = fresh_model(texts, folder / "tokenizer", seed=seed)
    say(
        f"Training a Qwen3-MoE of {num_params_of(moe):,} parameters on {', '.join(SEEN)}: {steps} steps of "
        f"{BATCH * SEQ_TOKENS:,} tokens …"
    )
    losses, train_seconds = _train(moe, texts, steps, seed)
    trained = Trained(losses, train_seconds, steps * BATCH * SEQ_TOKENS / train_seconds)
    course = Course(role_steps=role_steps, expert_steps=expert_steps)
    return operate(folder, moe, texts, trained, course, started=started, seed=seed, say=say)


@dataclass(frozen=True)
class Trained:
    """How the model that is operated on was trained: the loss of every step, seconds, speed."""

    losses: Sequence[float]
    seconds: float
    tokens_per_second: float


def num_params_of(moe: MoE) -> int:
    """Parameters, tied ones counted once."""
    return sum(parameter.numel() for parameter in moe.model.parameters())


def operate(
    folder: Path,
    moe: MoE,
    texts: Mapping[str, Texts],
    trained: Trained,
    course: Course,
    *,
    started: float,
    seed: int,
    say: Say,
    of_base: dict[str, dict[str, float]] | None = None,
) -> SurgeryQuickstart:
    """The story on a mixture that knows the libraries `SEEN`; writes `base`, `role` and `grown` into the folder.

    started: on `time.perf_counter`, what `seconds` counts from.
    """
    num_params, num_experts = num_params_of(moe), moe.layers[0].num_experts
    moe.save(folder / "base", verify=False)
    measured = _perplexities(moe, texts, course)
    usage = moe.usage({library: some.held for library, some in texts.items()}, max_tokens=course.seq_tokens)
    picture = _picture(usage, folder / "use.png")
    suggested = moe.suggest(texts[ROLE].learnt[:MOST_ASKED], 0.25, score="gradient")
    del moe  # what follows opens it from the folder
    pairs = {layer: experts[: course.per_layer] for layer, experts in suggested.items()}
    say(f"LoRA on the experts of each layer that are most worth training for {ROLE} …")
    adapted = _adapter(folder / "base", texts, pairs, course, seed)
    say(f"A role token that switches them on: <|role={ROLE}|> …")
    role = _role(folder, texts, pairs, course, seed)
    say(f"A new expert, out of reach, then trained on {UNSEEN} …")
    insertion = _insert(folder, texts, measured, course, seed)
    done = SurgeryQuickstart(
        folder=folder,
        num_params=num_params,
        num_experts=num_experts,
        train_seconds=trained.seconds,
        tokens_per_second=trained.tokens_per_second,
        loss_first=trained.losses[0],
        loss_last=sum(trained.losses[-20:]) / len(trained.losses[-20:]),
        perplexity=measured,
        entropy={library: sum(usage.entropy(library)) / len(usage.layers) for library in texts},
        suggested=suggested,
        adapter_experts=pairs,
        adapter_before=measured,
        adapter_after=adapted,
        role=role,
        insertion=insertion,
        heat_map=picture,
        seconds=time.perf_counter() - started,
        of_base=of_base,
    )
    write_json_safely(folder / "quickstart.json", done.to_dict())
    return done


def _perplexities(moe: TextModel, texts: Mapping[str, Texts], course: Course) -> dict[str, float]:
    """Library → perplexity of its held-out documents."""
    return {
        library: perplexity(moe, some.held[: course.most_measured], max_tokens=course.seq_tokens)
        for library, some in texts.items()
    }


def _train(moe: MoE, texts: Mapping[str, Texts], steps: int, seed: int) -> tuple[list[float], float]:
    learnt = [text for library in SEEN for text in texts[library].learnt]
    began = time.perf_counter()
    losses = tune(
        moe, learnt, list(moe.model.parameters()), steps=steps, batch_size=BATCH, seq_tokens=SEQ_TOKENS, learning_rate=3e-3,
        weight_decay=0.01, balance_weight=BALANCE_WEIGHT, seed=seed,
    )  # fmt: skip
    return losses, time.perf_counter() - began


def _adapter(
    base: Path, texts: Mapping[str, Texts], experts: Mapping[int, Sequence[int]], course: Course, seed: int
) -> dict[str, float]:
    """Perplexities with adapters on these experts that act on all texts."""
    moe = open_moe(base)
    adapter = moe.lora(experts, rank=16, seed=seed)
    with moe.verified_training():
        tune(
            moe, texts[ROLE].learnt, adapter.parameters(), steps=course.role_steps, batch_size=course.batch_size,
            seq_tokens=course.seq_tokens, learning_rate=course.adapter_rate, seed=seed,
        )  # fmt: skip
    return _perplexities(moe, texts, course)


def _role(
    folder: Path, texts: Mapping[str, Texts], experts: Mapping[int, Sequence[int]], course: Course, seed: int
) -> Role:
    moe = open_moe(folder / "base")
    others = [text for library in SEEN if library != ROLE for text in texts[library].held[: course.most_measured]]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the tokenizer had no token", UserWarning)  # the story says it
        role = make_role(
            moe,
            ROLE,
            texts[ROLE].learnt,
            others,
            experts=experts,
            steps=course.role_steps,
            batch_size=course.batch_size,
            seq_tokens=course.seq_tokens,
            learning_rate=course.adapter_rate,
            seed=seed,
        )
    moe.save(folder / "role")
    return role


@torch.no_grad()
def _logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    out: torch.Tensor = model.eval()(ids).logits
    return out


def _insert(
    folder: Path, texts: Mapping[str, Texts], before: Mapping[str, float], course: Course, seed: int
) -> Insertion:
    """A new expert in every layer: closed, then trained in its own copy, then let in and merged."""
    from transformers import AutoModelForCausalLM

    moe = open_moe(folder / "base")
    ids = torch.tensor([moe.tokenizer(texts[UNSEEN].held[0])["input_ids"][: course.seq_tokens]])
    reference = _logits(moe.model, ids)
    busiest = moe.suggest(texts[UNSEEN].learnt[:40], 1.0)
    # a copy of the expert that this text uses most, and of its row: the same tokens will find it
    made = {layer.number: moe.clone(layer.number, busiest[layer.number][0]) for layer in moe.layers}
    same_bits = torch.equal(_logits(moe.model, ids), reference)
    for layer, expert in made.items():
        moe.let_in(layer, [expert])
    adapter = moe.train_experts({layer: [expert] for layer, expert in made.items()}, name="new")
    with moe.verified_training():
        tune(
            moe, texts[UNSEEN].learnt, adapter.parameters(), steps=course.expert_steps, batch_size=course.batch_size,
            seq_tokens=course.seq_tokens, learning_rate=course.insertion_rate, seed=seed,
        )  # fmt: skip
    moe.merge_adapter("new")
    after = _perplexities(moe, texts, course)
    moe.save(folder / "grown")
    vanilla = AutoModelForCausalLM.from_pretrained(folder / "grown")
    for parameter in vanilla.parameters():
        parameter.data = parameter.data.clone()  # out of the mapped file: kernels may round by alignment
    equal = torch.equal(_logits(vanilla, ids), _logits(moe.model, ids))
    return Insertion(made, same_bits, dict(before), after, equal)


def _picture(usage: Any, target: Path) -> Path | None:
    """The heat map; None where matplotlib is not installed."""
    from interconnected_ai.errors import MissingExtraError

    try:
        require("matplotlib", "surgery", "drawing the use of experts")
    except MissingExtraError:
        return None
    drawn: Path = usage.heat_map(target)
    return drawn
