"""`MoE`: what a user holds of a pretrained mixture of experts. Every method hands on to a function of the room."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from torch import Tensor, nn

from interconnected_ai.errors import UnknownNameError
from interconnected_ai.storage import ANY, AnyVersion
from interconnected_ai.surgery.adapters.stand_ins import Adapters, AdapterSpec
from interconnected_ai.surgery.adapters.trained import verified
from interconnected_ai.surgery.analysis.importance import gradient_scores
from interconnected_ai.surgery.analysis.texts import perplexity
from interconnected_ai.surgery.analysis.usage import Over, Usage, best_experts, measure_usage
from interconnected_ai.surgery.anatomy.families import Family
from interconnected_ai.surgery.anatomy.layer import Layers
from interconnected_ai.surgery.checkpoints.saving import Saved, save, save_as_stored
from interconnected_ai.surgery.guard import guard
from interconnected_ai.surgery.operations import adapting, holding, programming
from interconnected_ai.surgery.operations import experts as edits
from interconnected_ai.surgery.operations.generating import generate
from interconnected_ai.surgery.operations.history import Recipe, Step
from interconnected_ai.surgery.operations.recipes import recipe_of
from interconnected_ai.surgery.operations.replaying import needs_same, needs_whole, replay
from interconnected_ai.surgery.routing.context import Hooks, RowRequest
from interconnected_ai.surgery.routing.losses import RouterRecord
from interconnected_ai.surgery.routing.programs import Function, Program
from interconnected_ai.surgery.routing.warmup import Warmup
from interconnected_ai.surgery.session import Session
from interconnected_ai.surgery.settings import need_by_layer, need_key, need_kind, need_name
from interconnected_ai.surgery.sizes import Sizes

__all__ = ["MoE", "Warmup"]

# Four bits move the logits of trained models by some hundredths of their size; far beyond that a model is worth a look.
_MUCH_ERROR = 0.25

P = ParamSpec("P")
T = TypeVar("T")


def _alone(method: Callable[Concatenate["MoE", P], T]) -> Callable[Concatenate["MoE", P], T]:
    """One change at a time: a second thread waits until the first has checked and done its own."""

    @wraps(method)
    def guarded(self: "MoE", /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.session.lock:
            self.session.needs_whole()
            return method(self, *args, **kwargs)

    return guarded


class MoE:
    """A transformers model whose experts and routers can be seen, changed, added, trained and programmed.

    model: what was opened; it is changed in place, and its own `save_pretrained` and `push_to_hub` write what `save`
    writes. tokenizer: beside it in its folder, None without.
    expert_parallel: devices the experts are to be spread over; operations warn when their number no longer divides.

    An operation that fails or is interrupted anywhere, even for lack of memory, leaves the model, its config and its history
    as they were; so does `undo`.

    Threads: passes of the model (forward, `generate`, `perplexity`, `usage`, `watch`) may run at once from several threads
    while it is in evaluation, with roles and adapters, and each thread with `requests` of its own. Operations wait for each
    other; none may run beside a pass. `suggest(score="gradient")`, `ablate`, `steer`, `top_k` and training count as
    operations, since they change what all threads run.
    """

    def __init__(self, model: nn.Module, tokenizer: Any = None, expert_parallel: int | None = None) -> None:
        self._hold(Session(model, tokenizer, expert_parallel))

    @classmethod
    def of(cls, session: Session) -> "MoE":
        """What a user holds of this session."""
        moe = cls.__new__(cls)
        moe._hold(session)
        return moe

    def _hold(self, session: Session) -> None:
        self.session = session
        guard(session)
        for layer in session.layers:
            layer.operator = self

    # What it is

    @property
    def model(self) -> Any:
        """The transformers model."""
        return self.session.model

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer, None without."""
        return self.session.tokenizer

    @property
    def family(self) -> Family:
        """What is known of its family."""
        return self.session.family

    @property
    def layers(self) -> Layers:
        """Its layers with experts, by number."""
        return self.session.layers

    @property
    def hooks(self) -> Hooks:
        """What its routers are told of a pass."""
        return self.session.hooks

    @property
    def program(self) -> Program:
        """The rules that run inside its routers, and its roles."""
        return self.session.program

    @property
    def functions(self) -> tuple[Function, ...]:
        """Rules written in Python."""
        return self.session.functions

    @property
    def adapters(self) -> Mapping[str, Adapters]:
        """Sets of stand-ins by name."""
        return self.session.adapters

    @property
    def warmups(self) -> list[Warmup]:
        """Schedules that are not finished."""
        return self.session.warmups

    @property
    def uniform(self) -> bool:
        """Whether every layer has as many experts and the same top-k: what a config.json can say."""
        return self.session.uniform

    @property
    def plain(self) -> bool:
        """Whether transformers' own classes compute the same: nothing closed, warmed up, programmed, adapted or packed."""
        return self.session.plain

    def description(self) -> dict[str, Any]:
        """Family and sizes: what a recipe must agree with."""
        return self.session.description()

    def sizes(self) -> Sizes:
        """How large it is as it stands, adapters included."""
        tensors = {tensor.data_ptr(): tensor for tensor in self.model.state_dict().values()}.values()
        return Sizes(
            sum(tensor.numel() for tensor in tensors),
            sum(tensor.numel() * tensor.element_size() for tensor in tensors),
            {layer.number: layer.num_experts for layer in self.layers},
            {layer.number: layer.top_k for layer in self.layers},
            sum(adapter.num_params for adapter in self.adapters.values()),
        )

    # What was done to it

    @property
    def steps(self) -> tuple[Step, ...]:
        """What was done since opening or saving."""
        return self.session.steps

    def undo(self) -> Step:
        """Take the last step back; an undo that fails leaves the step as it was, and may be called again.

        Raises `ConfigError` when there is none, or an adapter stands in for an expert that the step takes out.
        """
        return self.session.undo()

    def recipe(self) -> Recipe:
        """The steps so far and the adapters as they are, to be replayed on another copy of the model as it was opened.

        `Recipe.lacks` names what was done besides, such as a training of the routers. Raises `ConfigError` for rules in Python.
        """
        return recipe_of(self.session)

    @_alone
    def apply(
        self,
        recipe: Recipe | str | Path,
        *,
        any_weights: bool = False,
        without_adapters: bool = False,
        incomplete: bool = False,
    ) -> None:
        """Replay a recipe; all its steps hold or none does.

        any_weights: accept a model of the same shape whose routers have other weights. without_adapters: leave the adapters
        out. incomplete: accept a recipe that says what it lacks. Raises `ConfigError` for another model, and where something
        is lacking; `IntegrityError` where the tensors of its steps are not beside it.
        """
        need_kind("recipe", recipe, Recipe, str, Path)
        recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe, adapters=not without_adapters)
        recipe = recipe.without_adapters() if without_adapters else recipe
        needs_whole(recipe, incomplete)
        needs_same(self.session, recipe, any_weights)
        before = len(self.steps)
        try:
            for step in recipe.steps:
                replay(self, step)
        except BaseException as error:  # Ctrl-C too leaves the model as it was
            error.add_note(f"Should the log hold more than {before} steps, undo() takes the rest of the recipe back.")
            while len(self.steps) > before:
                self.undo()
            raise

    @_alone
    def save(
        self,
        folder: str | Path,
        *,
        verify: bool = True,
        replaces: str | AnyVersion | None = ANY,
        as_stored: bool = False,
    ) -> Saved:
        """Write the model: an ordinary checkpoint where the format can hold it, else with a side-car that `surgery.open` reads.

        as_stored: a model that was opened from a quantised checkpoint goes back as it was, byte for byte, experts moved and
        top-k set; `ConfigError` names a step that made other numbers. Without, it is written dequantised. Steps before it can
        no longer be undone. replaces: the version (`storage.version_of`) that must stand there. The folder that the model was
        opened from must be as it was read: `ConflictError` when somebody saved to it since. Raises `StorageError` when it
        cannot be written; what stood there stays, and so does the model in memory.
        """
        if as_stored:
            return save_as_stored(self.session, folder, replaces=replaces)
        saved = save(self.session, folder, verify=verify, replaces=replaces)
        self.session.start_log()
        return saved

    def settle_opened(self) -> None:
        """Start a new log here."""
        self.session.start_log()

    # Top-k and experts

    @_alone
    def set_top_k(self, top_k: int, layers: Iterable[int] | None = None) -> None:
        """Let a token take this many FFN experts, in all layers or some.

        Every copy is changed: router, block, config, causal LM. Raises `ConfigError` for more than there are in reach, more
        than the groups allow, or where the family's rule knows one number only.
        """
        self.session.perform(edits.set_top_k(self.session, top_k, layers))

    @contextmanager
    def top_k(self, top_k: int, layers: Iterable[int] | None = None) -> Iterator[None]:
        """The same for a moment."""
        with self.session.for_a_moment(edits.set_top_k(self.session, top_k, layers)):
            yield

    @_alone
    def set_top_p(
        self,
        top_p: float | None,
        *,
        at_most: int | None = None,
        at_least: int = 1,
        layers: Iterable[int] | None = None,
    ) -> None:
        """Let a token take as few experts as together have this part of the router's probabilities; None: top-k again.

        at_most: of them, None is the layer's top-k, so that a token takes fewer and never more. `usage(…).taken` says how many
        that is. transformers' own `from_pretrained` loads the model without it. Raises `ConfigError` where the family's rule
        knows one number only.
        """
        self.session.perform(edits.set_top_p(self.session, top_p, at_most, at_least, layers))

    @_alone
    def set_top_k_after(self, numbers: Mapping[int, int], layers: Iterable[int] | None = None) -> None:
        """Let a token take another number of experts where its best one is one of these: expert → number; {}: top-k again.

        Saved as top-p is.
        """
        self.session.perform(edits.set_top_k_after(self.session, numbers, layers))

    @_alone
    def replace(self, layer: int, expert: int, source: Any) -> None:
        """Put other weights where an expert stands; its row in the router stays.

        source: an `FFNExpert` (of this model or another), a gated FFN module, `ExpertWeights`, or several for their mean.
        Raises `ConfigError` for another shape or dtype, NaN or infinity.
        """
        self.session.perform(edits.replace(self.session, layer, expert, source))

    @_alone
    def insert(
        self,
        layer: int,
        sources: Sequence[Any],
        rows: Tensor | Mapping[str, Tensor] | None = None,
        *,
        closed: bool = True,
    ) -> tuple[int, ...]:
        """Add experts at the end of a layer and give their numbers.

        They start out of reach: outputs stay what they were, to the last bit, until `let_in`. sources: as in `replace`; None is
        the mean of the layer's experts. rows: the router's rows for them, (experts, d_model); None copies the source's row
        where it is an expert of this layer, else takes the mean of all rows. closed: False lets them in at once. In families
        that choose groups first, give as many as there are groups (or a multiple): each group gets its share.
        """
        change, numbers = edits.insert(self.session, layer, sources, rows, closed)
        self.session.perform(change)
        return numbers

    def clone(self, layer: int, expert: int) -> int:
        """Add a copy of an expert, out of reach until let in; gives its number."""
        return self.insert(layer, [self.layers[layer].experts[expert]])[0]

    @_alone
    def let_in(self, layer: int, experts: Iterable[int], steps: int = 0, taken: int = 0) -> Warmup:
        """Open closed experts: at once, or over this many calls of the returned schedule's `step`.

        Schedules that are not finished stand in `warmups` too, also after a replay or when the model was saved and opened
        again. taken: how many of the steps were taken already.
        """
        change, warmup = edits.let_in(self.session, layer, experts, steps, taken)
        self.session.perform(change)
        return warmup

    @_alone
    def remove(self, layer: int, experts: Iterable[int]) -> None:
        """Take experts out; those after them move up, and rules and adapters follow them.

        At least top-k must stay, the same number in every group. Raises `ConfigError` too where a rule would have no expert
        left, or an adapter stands in for one that goes.
        """
        self.session.perform(edits.remove(self.session, layer, experts))

    @_alone
    def merge(
        self, layer: int, experts: Sequence[int], shares: Sequence[float] | None = None, *, align: bool = False
    ) -> int:
        """Make one expert out of several: the mean of their weights and of their router rows; gives its number.

        shares: how much each counts, summing to 1; None counts all alike (give use counts from `usage` for a better mean).
        align: order the inner places of each as the first one has them before the mean, which changes no expert and is what a
        mean of experts needs that were not copies of each other once. A rule must name all of them or none.
        """
        change, into = edits.merge(self.session, layer, experts, shares, align=align)
        self.session.perform(change)
        return into

    @_alone
    def join(
        self,
        layer: int,
        clusters: Sequence[Sequence[int]],
        shares: Sequence[Sequence[float]] | None = None,
        *,
        align: bool = False,
    ) -> None:
        """Merge several clusters of experts at once, each into its first; those after them move up.

        What routers with groups need, which must lose as many of each. shares: a list for each cluster; the rest as in `merge`.
        """
        self.session.perform(edits.join(self.session, layer, clusters, shares, align=align))

    @_alone
    def reorder(self, layer: int, order: Sequence[int]) -> None:
        """Number the experts anew: position i gets the expert that was order[i]. Outputs stay, up to rounding.

        Rules and adapters follow the experts.
        """
        self.session.perform(edits.reorder(self.session, layer, order))

    # The routers' program

    @_alone
    def set_program(self, program: Program, functions: Sequence[Function] = ()) -> None:
        """Run these rules inside the routers, instead of those before; an empty program takes them off.

        functions: rules written in Python, (hidden, logits, forward) → logits, in all layers. They cannot be saved.
        """
        self.session.perform(programming.set_program(self.session, program, functions))

    @_alone
    def add_role(self, name: str, token: str | None = None) -> int:
        """Let a token of its own begin a role, `<|role=NAME|>` unless another is given; gives the token's id.

        A token the tokenizer lacks is added to a copy of it, which is `tokenizer` from then on, and the embeddings grow by a
        row (their mean); a warning says so. Undone, the model has the tokenizer and the rows it had.
        """
        need_key("role", name)
        if token is not None:
            need_name("token", token)
        self.session.perform(programming.add_role(self.session, name, token or f"<|role={name}|>"))
        return self.program.roles[name]

    def requests(self, requests: Sequence[RowRequest]) -> AbstractContextManager[None]:
        """Settings for each row of the batches inside: prompt, adapter, role, and the experts it may use.

        They hold for the thread that set them.
        """
        return programming.requests(self.session, requests)

    def generate(
        self, prompts: Sequence[Sequence[int]], requests: Sequence[RowRequest] = (), **settings: Any
    ) -> list[list[int]]:
        """What the model writes after each prompt (token ids), each row as its request wants: top-k, roles, rules, experts.

        One batch for all; a row's answer is the one that it gets alone. requests: one a prompt, or none at all. settings: those
        of transformers' `generate`. Gives the new tokens of each row, without its end token and what follows.
        """
        return generate(self.session, prompts, requests, settings)

    def follow(self) -> None:
        """Let routers know the forward pass they are in: padding, token ids, roles."""
        self.session.follow()

    # What learns, and what is only held

    @_alone
    def lora(
        self,
        experts: Mapping[int, Sequence[int]],
        rank: int = 16,
        alpha: float | None = None,
        *,
        name: str = "lora",
        role: str | None = None,
        on_request: bool = False,
        seed: int = 0,
    ) -> Adapters:
        """Low-rank adapters on these experts alone, computed for the tokens routed to them; all other parameters are frozen.

        alpha: the update is scaled by alpha / rank; None is rank. role, on_request: see `AdapterSpec`.
        """
        chosen = need_by_layer("experts", experts)
        spec = AdapterSpec(name, "lora", chosen, rank, rank if alpha is None else alpha, role, on_request)
        return adapting.adapt(self.session, spec, seed)

    @_alone
    def train_experts(
        self,
        experts: Mapping[int, Sequence[int]],
        *,
        name: str = "full",
        role: str | None = None,
        on_request: bool = False,
    ) -> Adapters:
        """Copies of these experts as parameters of their own; all others are frozen, and out of an optimiser's reach."""
        chosen = need_by_layer("experts", experts)
        return adapting.adapt(self.session, AdapterSpec(name, "full", chosen, role=role, on_request=on_request), seed=0)

    @_alone
    def train_only(self, what: str, layers: Iterable[int] | None = None) -> list[nn.Parameter]:
        """Freeze all but the "router" of all layers or some, or all but the "adapters"; gives what trains."""
        return adapting.train_only(self.session, what, layers)

    def verified_training(self) -> AbstractContextManager[None]:
        """Around a training: raises `TrainingError` unless what should move moved, and all else is the same to the last bit."""
        return verified(self.model)

    @_alone
    def merge_adapter(self, name: str) -> None:
        """Write an adapter into the experts' own weights, and take it out."""
        self.session.perform(adapting.merge_adapter(self.session, name))

    @_alone
    def drop_adapter(self, name: str) -> None:
        """Take an adapter out and forget it."""
        adapting.drop(self.session, name)

    @_alone
    def pack_experts(self, layers: Iterable[int] | None = None, *, spill: str | Path | None = None) -> int:
        """Hold these layers' experts in 4 bits (NF4); gives the bytes of all their stacks now.

        Outputs change a little: the relative error of the logits stands in the step's `measured`, and a large one is warned of.
        spill: a folder for the originals, which an undo needs and memory must not hold, until the next save; None is the
        system's temporary folder. Raises `StorageError` without room for them.
        """
        change = holding.pack_experts(self.session, layers, spill)
        self.session.perform(change)
        error = change.step.measured["logits_relative_error"]
        if error > _MUCH_ERROR:
            warnings.warn(
                f"four bits moved the logits by {error:.0%} of their size; measure with `perplexity`, and undo it or pack "
                "fewer layers where that is too much",
                stacklevel=3,
            )
        return sum(layer.place.experts.packed.size_bytes for layer in change.layers)  # type: ignore[union-attr, misc]

    @_alone
    def unpack_experts(self, layers: Iterable[int] | None = None, *, spill: str | Path | None = None) -> None:
        """Hold packed experts as ordinary numbers again: those that four bits kept. Does nothing where none is packed.

        To have the numbers back that were there before, undo the packing. spill: as in `pack_experts`.
        """
        change = holding.unpack_experts(self.session, layers, spill)
        if change is not None:
            self.session.perform(change)

    # What experts do, and for which texts

    def watch(self, *, keep_graph: bool = True) -> AbstractContextManager[RouterRecord]:
        """Record what the routers choose inside the block, in this thread: for balance and z losses, and for counting."""
        return self.session.watch(keep_graph=keep_graph)

    def usage(
        self,
        texts: Mapping[str, Sequence[str]] | Sequence[str],
        *,
        max_tokens: int = 256,
        batch_size: int = 8,
        generate_tokens: int = 0,
    ) -> Usage:
        """Which experts the routers choose for these texts (domain → texts, or one list); see `measure_usage`."""
        return measure_usage(
            self.session, texts, max_tokens=max_tokens, batch_size=batch_size, generate_tokens=generate_tokens
        )

    def suggest(
        self,
        texts: Sequence[str],
        share: float = 0.25,
        *,
        score: Literal["gate", "tokens", "gradient"] = "gate",
        threshold: float | None = None,
        over: Over = "layer",
        max_tokens: int = 256,
        batch_size: int = 8,
    ) -> dict[int, tuple[int, ...]]:
        """The experts worth training for these texts, best first, by layer.

        score: "gate" and "tokens" count use (see `Usage.suggest`), for the price of reading the texts; "gradient" asks what a
        step on each expert would gain (see `gradient_scores`), for that of a backward pass too, and compares layers, as
        over="model" asks. share, threshold, over: see `best_experts`. max_tokens: of each text. batch_size: texts at a time;
        the larger, the less a gradient's noise counts.
        """
        if score not in ("gate", "tokens", "gradient"):
            raise UnknownNameError("score", score, ("gate", "tokens", "gradient"))
        if score == "gradient":
            with self.session.changing():
                scores = gradient_scores(self.session, texts, max_tokens=max_tokens, batch_size=batch_size)
            return best_experts(scores, share, threshold=threshold, over=over)
        found = self.usage(texts, max_tokens=max_tokens, batch_size=batch_size)
        return found.suggest("texts", share, score=score, threshold=threshold, over=over)

    def perplexity(self, texts: Sequence[str], *, max_tokens: int = 256, role: str | None = None) -> float:
        """exp of the mean negative log likelihood of a token; role: begin every text with this role's token."""
        if role is not None:
            need_kind("role", role, str)
            if role not in self.program.roles:
                raise UnknownNameError("role", role, self.program.roles)
        prefix = [] if role is None else [self.program.roles[role]]
        return perplexity(self, texts, max_tokens=max_tokens, prefix=prefix)

    def ablate(self, experts: Mapping[int, Sequence[int]], *, reroute: bool = False) -> AbstractContextManager[None]:
        """Without these experts for a moment: their outputs are zero, or (reroute) their tokens go to the next best."""
        gone = need_by_layer("experts", experts)
        for number, some in gone.items():
            self.layers[number].need(*some)
        if reroute:
            return programming.rerouting(self.session, gone)
        return self.steer({number: dict.fromkeys(some, 0.0) for number, some in gone.items()})

    def steer(self, strengths: Mapping[int, Mapping[int, float | Tensor]]) -> AbstractContextManager[None]:
        """For a moment: layer → expert → a factor on its output, or a vector added to it for the tokens it serves."""
        return programming.steering(self.session, strengths)
