"""What went wrong in other servers' pools, each kind tried on the ledger."""

from interconnected_ai.errors import PoolError
from interconnected_ai.experts.pool import Action, Deny, Grant, Ledger, Load, State, Unload


def ledger_of(budget: int, **sizes: int) -> Ledger:
    ledger = Ledger(budget)
    for name, size in sizes.items():
        ledger.register(name, size)
    return ledger


def settled(ledger: Ledger, actions: list[Action]) -> list[Action]:
    """Let everything that is begun come to its end, one after the other; what was done, in order."""
    done: list[Action] = []
    while actions:
        action = actions.pop(0)
        done.append(action)
        match action:
            case Load(key):
                actions += ledger.loaded(key, ledger.entries[key].expected_bytes, 1.0)
            case Unload(key):
                actions += ledger.unloaded(key)
    return done


def test_one_that_is_wanted_again_while_it_goes_blocks_nobody() -> None:
    """github.com/ollama/ollama/issues/17408: the next load waits for ever for a victim that came back to life."""
    ledger = ledger_of(100, a=60, b=60)
    settled(ledger, ledger.ask("a")[1])
    ledger.returned(0)
    b, actions = ledger.ask("b")
    assert actions == [Unload("a")]
    again, actions = ledger.ask("a")
    assert actions == []
    assert Grant(b, ("b",)) in settled(ledger, ledger.unloaded("a"))
    assert Grant(again, ("a",)) in settled(ledger, ledger.returned(b))


def test_two_who_would_drive_out_the_same_one_are_both_served() -> None:
    """github.com/ggml-org/llama.cpp/issues/28443: the second of them is queued for ever."""
    ledger = ledger_of(100, a=60, b=60, c=60)
    settled(ledger, ledger.ask("a")[1])
    ledger.returned(0)
    b, actions = ledger.ask("b")
    c, more = ledger.ask("c")
    assert Grant(b, ("b",)) in settled(ledger, actions + more)
    assert Grant(c, ("c",)) in settled(ledger, ledger.returned(b))


def test_one_that_was_just_loaded_is_lent_before_it_may_go() -> None:
    """github.com/ggml-org/llama.cpp/issues/28698, github.com/ray-project/ray/pull/65825: it goes for one who waits behind."""
    ledger = ledger_of(100, a=60, b=60)
    a, _ = ledger.ask("a")
    b, actions = ledger.ask("b")
    assert actions == []
    assert ledger.loaded("a", 60, 1.0) == [Grant(a, ("a",))]
    assert Grant(b, ("b",)) in settled(ledger, ledger.returned(a))


def test_one_that_is_loading_is_driven_out_by_nobody() -> None:
    """github.com/ggml-org/llama.cpp/pull/25528: a model that loads is killed for the next."""
    ledger = ledger_of(100, a=60, b=60)
    ledger.prefetch("a")
    b, actions = ledger.ask("b")
    assert actions == []
    assert ledger.entries["a"].state is State.LOADING
    assert Grant(b, ("b",)) in settled(ledger, ledger.loaded("a", 60, 1.0))


def test_what_is_there_is_lent_past_one_who_waits_for_room() -> None:
    """github.com/ollama/ollama/pull/15126: requests for loaded models wait behind the unload of another."""
    ledger = ledger_of(100, a=40, b=40, large=90)
    for name in "ab":
        settled(ledger, ledger.ask(name)[1])
    ledger.ask("large")
    again, actions = ledger.ask("b")
    assert actions == [Grant(again, ("b",))]


def test_what_can_never_fit_is_refused_and_nobody_goes_for_it() -> None:
    """github.com/ollama/ollama/issues/18282: models are unloaded and loaded in a loop for one that cannot fit."""
    ledger = ledger_of(100, a=40, huge=200)
    settled(ledger, ledger.ask("a")[1])
    ledger.returned(0)
    (action,) = ledger.ask("huge")[1]
    assert isinstance(action, Deny)
    assert ledger.entries["a"].state is State.RESIDENT


def test_another_ones_unload_is_not_taken_for_the_one_that_is_waited_for() -> None:
    """github.com/ollama/ollama/issues/17309: an unload of any model ends the wait for a certain one."""
    ledger = ledger_of(100, small=30, large=70, wanted=90)
    for name in ("small", "large"):
        settled(ledger, ledger.ask(name)[1])
        ledger.returned(ledger.lent[0])
    _, actions = ledger.ask("wanted")
    assert sorted(action.key for action in actions if isinstance(action, Unload)) == ["large", "small"]
    assert ledger.unloaded("small") == []
    assert ledger.unloaded("large") == [Load("wanted")]


def test_a_tiny_one_stays_where_a_large_one_as_long_unused_makes_the_room() -> None:
    """github.com/mudler/LocalAI/issues/9375: a 40 MB model is unloaded for a 13 GB one, and the room is still not there."""
    ledger = ledger_of(100, tiny=1, large=60, next=60)
    for name in ("tiny", "large"):
        settled(ledger, ledger.ask(name)[1])
        ledger.returned(ledger.lent[0])
    assert Unload("tiny") not in settled(ledger, ledger.ask("next")[1])


def test_a_load_that_fails_leaves_its_room_and_what_was_before_it() -> None:
    """github.com/vllm-project/vllm/pull/34600: what was mapped before an error stays mapped."""
    ledger = ledger_of(100, a=30, b=60)
    settled(ledger, ledger.ask("a")[1])
    b, _ = ledger.ask("b")
    error = PoolError("broken")
    assert ledger.failed("b", error) == [Deny(b, error)]
    assert ledger.used_bytes == 30
    assert ledger.is_there("a")


def test_two_experts_that_take_turns_in_one_place_are_each_used_before_they_go() -> None:
    """github.com/ggml-org/llama.cpp/pull/22284: each is unloaded for the other before it has answered once."""
    ledger = ledger_of(100, a=60, b=60)
    granted: list[int] = []
    waiting = [ledger.ask(name) for name in "abab"]
    for action in settled(ledger, [action for _, actions in waiting for action in actions]):
        granted += [action.ticket] if isinstance(action, Grant) else []
    while ledger.lent:
        for action in settled(ledger, ledger.returned(ledger.lent[0])):
            granted += [action.ticket] if isinstance(action, Grant) else []
    assert sorted(granted) == [ticket for ticket, _ in waiting]
    assert ledger.num_evictions <= 2
