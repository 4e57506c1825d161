"""A council in one file: who sits in it, who is asked when, what it may take and what it remembers."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from interconnected_ai.config.record import Place, Record

Name = Annotated[str, Field(min_length=1, max_length=200)]
Several = Annotated[
    tuple[Place, ...], Field(strict=False), BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)
]
_NAMED = ("docs:", "hf:")  # texts that are no place on disk


class MemberConfig(Record):
    """One expert. place: a folder, a GGUF file, a hub id, "smollm2". engine: None is its kind's own.

    description, examples: what it is for and requests that it should answer, beside those of its card; routers read them.
    """

    place: Place
    engine: str | None = None
    description: str = ""
    examples: Annotated[tuple[str, ...], Field(strict=False)] = ()


class CouncilConfig(Record):
    """A council.

    fallback: who answers where nobody is sure. fallbacks: who stands in for whom. seed: the expert that knows a little of
    everything, which the others were made from: where several deliberate it is one of them. seed_weight: what its word weighs
    before the text says who foretells well, where the surest expert's weighs 1 at the most.
    budget_mb: MB (10⁶ bytes) that experts and their shared bases may take together; None is half of the machine's memory.
    rules, routers: asked in this order, rules first; with `semantic` the experts' cards are asked last. encoder: of routers
    that are learnt, None is the embedded English one.
    memory: the store; None remembers nothing. memory_tokens: at most so many are recalled for an answer.
    likelihood: where the routers are not sure, so many of the experts that they lean to are asked how likely they find the
    request; 0 asks nobody. likelihood_weight: how much of their word counts beside what the routers said.
    recollection: a folder that `Recollection.save_pretrained` wrote, or texts (files, folders, `docs:numpy`): what followed in
    them, where the last tokens stood there, has its say in every answer.
    width: how many experts deliberate; 1 is one alone. forgetting, power: of deliberation, see `experts.deliberation`.
    system: what every expert is told before everything. wait_seconds: for an expert to come into memory.
    """

    experts: Annotated[dict[Name, MemberConfig], Field(min_length=1)]
    fallback: Name
    fallbacks: Annotated[dict[Name, Name], Field(default_factory=dict)]
    seed: Name | None = None
    seed_weight: Annotated[float, Field(gt=0.0, le=1.0, strict=False)] = 0.25
    budget_mb: Annotated[float, Field(gt=0, strict=False)] | None = None
    rules: Place | None = None
    routers: Annotated[tuple[Place, ...], Field(strict=False)] = ()
    semantic: bool = True
    encoder: Place | None = None
    likelihood: Annotated[int, Field(ge=0, le=64)] = 0
    likelihood_weight: Annotated[float, Field(ge=0.0, le=1.0, strict=False)] = 0.1
    switching_cost: Annotated[float, Field(ge=0.0, le=1.0, strict=False)] = 0.2
    memory: Place | None = None
    memory_tokens: Annotated[int, Field(ge=0)] = 1500
    recollection: Several = ()
    width: Annotated[int, Field(ge=1, le=64)] = 1
    forgetting: Annotated[float, Field(ge=0.0, le=1.0, strict=False)] = 0.1
    power: Annotated[float, Field(ge=0.0, le=1.0, strict=False)] = 1.0
    system: str | None = None
    max_new_tokens: Annotated[int, Field(ge=1)] = 256
    wait_seconds: Annotated[float, Field(gt=0.0, strict=False)] = 60.0

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        named = {
            "fallback": [self.fallback],
            "seed": [] if self.seed is None else [self.seed],
            "fallbacks": [*self.fallbacks, *self.fallbacks.values()],
        }
        for key, names in named.items():
            if unknown := [name for name in names if name not in self.experts]:
                raise ValueError(f"{key} names {unknown[0]!r}, the experts are {', '.join(self.experts)}")
        return self

    def seen_from(self, folder: Path) -> Self:
        """The same with places beside the file that it stands in: what is relative is looked for from its folder.

        An expert's place that stands nowhere there may be a name, such as "smollm2" or a hub id, and stays as it is.
        """

        def there(place: str) -> str:
            return str(folder / place)

        experts = {
            name: member.with_changes(place=there(member.place)) if (folder / member.place).exists() else member
            for name, member in self.experts.items()
        }
        return self.with_changes(
            experts=experts,
            rules=None if self.rules is None else there(self.rules),
            routers=tuple(map(there, self.routers)),
            recollection=tuple(place if place.startswith(_NAMED) else there(place) for place in self.recollection),
            memory=None if self.memory is None or "://" in self.memory else there(self.memory),
        )
