"""Who names experts by number follows when a layer numbers them anew: rules, adapters, warm-ups."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery.adapters.stand_ins import Adapters, variants_of
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.operations.snapshot import Snapshot, Undo
from interconnected_ai.surgery.routing.programs import Program
from interconnected_ai.surgery.routing.rules import Rule
from interconnected_ai.surgery.routing.warmup import Warmup


@dataclass(frozen=True)
class Renumbering:
    """Old number → new number of one layer's experts; those that are absent go.

    what: the operation, for messages. num_experts: how many there are afterwards, new ones too. clusters: old numbers of
    experts that become one, each time.
    """

    what: str
    layer: int
    num_experts: int
    to: dict[int, int]
    clusters: tuple[frozenset[int], ...] = ()

    @classmethod
    def by_order(
        cls, what: str, layer: Layer, order: Sequence[int], clusters: Iterable[Sequence[int]] = ()
    ) -> "Renumbering":
        """Position i holds the old expert order[i]; numbers beyond the old ones are new experts. clusters: experts that go
        where the first of each goes.
        """
        to = {old: new for new, old in enumerate(order) if old < layer.num_experts}
        for each in clusters:
            to |= dict.fromkeys(each, to[each[0]])
        return cls(what, layer.number, len(order), to, tuple(frozenset(each) for each in clusters))

    @property
    def together(self) -> frozenset[int]:
        """All experts that become one with others."""
        return frozenset(expert for each in self.clusters for expert in each)

    def back(self) -> "Renumbering":
        """The way back; experts that are new or became one have no old number."""
        alone = {new: old for old, new in self.to.items() if old not in self.together}
        return Renumbering(f"undoing {self.what}", self.layer, len(self.to), alone)

    def of_rule(self, rule: Rule) -> tuple[int, ...]:
        """The new numbers of a rule's experts; `ConfigError` when none is left, or its experts become one with others."""
        named = set(rule.experts)
        told = f"{self.what}: the rule that says {rule.do} experts {_brief(rule.experts)}"
        parted = next((each for each in self.clusters if named & each and not each <= named), None)
        if parted is not None:
            raise ConfigError(
                f"{told} names some of the experts {sorted(parted)} of layer {self.layer} that become one, and not "
                "all; change the rule first (set_program)"
            )
        left = tuple(dict.fromkeys(self.to[expert] for expert in rule.experts if expert in self.to))
        if not left:
            raise ConfigError(
                f"{told} would have none left in layer {self.layer}; change the rule or take it off first (set_program)"
            )
        return left


def follow_rules(program: Program, layers: Sequence[int], renumbering: Renumbering) -> Program:
    """The same rules under the new numbers; a rule for several layers is split where their numbers now differ."""
    rules: list[Rule] = []
    for rule in program.rules:
        everywhere = tuple(layers) if rule.layers is None else rule.layers
        here = renumbering.of_rule(rule) if renumbering.layer in everywhere else rule.experts
        if set(here) == set(rule.experts):
            rules.append(rule)
            continue
        others = tuple(number for number in everywhere if number != renumbering.layer)
        rules += [rule.model_copy(update={"layers": others})] if others else []
        rules.append(rule.model_copy(update={"layers": (renumbering.layer,), "experts": here}))
    return program.model_copy(update={"rules": tuple(rules)})


def check_adapters(adapters: Mapping[str, Adapters], renumbering: Renumbering) -> None:
    """Raise `ConfigError` where an adapter stands in for an expert that goes or becomes one with others."""
    for adapter in adapters.values():
        for expert in adapter.spec.experts.get(renumbering.layer, ()):
            if expert not in renumbering.to or expert in renumbering.together:
                raise ConfigError(
                    f"{renumbering.what}: the adapter {adapter.name!r} stands in for expert {expert} of layer "
                    f"{renumbering.layer}, which would be gone; merge or drop it first (merge_adapter, drop_adapter)"
                )


def follow_adapters(layer: Layer, adapters: Mapping[str, Adapters], renumbering: Renumbering) -> None:
    """Adapters under the new numbers of their experts."""
    to = renumbering.to
    for adapter in adapters.values():
        numbers = adapter.spec.experts.get(layer.number)
        if numbers is None:
            continue
        variants = variants_of(layer)
        modules = {to[int(key)]: module for key, module in variants[adapter.name].items()}
        for number, module in modules.items():
            module.expert = number
        variants[adapter.name] = nn.ModuleDict({str(number): module for number, module in modules.items()})
        experts = {**adapter.spec.experts, layer.number: tuple(to[number] for number in numbers)}
        adapter.spec = replace(adapter.spec, experts=experts)


def follow_warmups(warmups: Sequence[Warmup], renumbering: Renumbering) -> Undo:
    """Warm-ups under the new numbers of their experts; those whose expert goes have less to open."""
    kept = [(warmup, warmup.experts) for warmup in warmups if warmup.layer == renumbering.layer]
    for warmup, experts in kept:
        left = dict.fromkeys(renumbering.to[expert] for expert in experts if expert in renumbering.to)
        warmup.experts = tuple(left)

    def undo(now: Snapshot) -> None:
        for warmup, experts in kept:
            now.part(warmup)
            warmup.experts = experts

    return undo


def _brief(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:6]))
    return f"{shown} … ({len(numbers)})" if len(numbers) > 6 else shown
