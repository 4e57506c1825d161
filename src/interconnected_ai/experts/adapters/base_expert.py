"""A base that adapters stand on as an expert of its own: on the weights that they share, in the same batches."""

from pathlib import Path
from weakref import finalize

from interconnected_ai.experts.adapters.engine import AdapterEngine
from interconnected_ai.experts.adapters.lending import BorrowedBase
from interconnected_ai.experts.bases import find_base
from interconnected_ai.experts.batch_limits import BatchLimits
from interconnected_ai.experts.causal_lm import CausalLM
from interconnected_ai.experts.expert import Expert
from interconnected_ai.experts.kinds import expert_card
from interconnected_ai.experts.opened import Opened


def open_base(
    place: str | Path, *, engine: str = "torch", device: str | None = None, batching: BatchLimits | None = None
) -> Expert:
    """The base at this place, loaded once for it and for all adapters over it that are open on the same engine.

    engine, device: as `SharedBase.open` has them. batching: as `open_expert` has it, for the base and for all adapters over it.
    Closing it leaves the base to the others. Raises what `find_base` and
    `SharedBase.open` raise.
    """
    base = find_base(place)
    borrowed = BorrowedBase(base, device=device, engine=engine)
    shared = borrowed.shared
    on_base = AdapterEngine(shared.engine, None, shared.tokenizer)
    on_base.after_close(finalize(on_base, borrowed.give_back))
    expert = Expert.of(
        Opened(
            on_base, shared.tokenizer, expert_card(place), None, lambda: CausalLM.from_pretrained(base), base.path,
            lambda: shared.template,
        )
    )  # fmt: skip
    if batching is not None:
        expert.batch(batching)
    return expert
