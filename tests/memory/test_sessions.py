"""Users and sessions are strangers to each other."""

import json
import re
from pathlib import Path

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory
from memory_stores import WORDS, MakeMemory, count_words
from properties import examples


@examples(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 17)), min_size=1, max_size=40),
    query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
)
def test_words_of_another_user_or_session_never_appear(
    tmp_path: Path, said: list[tuple[str, str, int]], query: list[str]
) -> None:
    file = tmp_path / f"{abs(hash((tuple(said), tuple(query))))}.db"
    with ThreeLevelMemory(
        SQLiteStore(file, synchronous="OFF"), Capacities(60, 60, 60), count_tokens=count_words, background=False
    ) as memory:
        for number, (user, session, word) in enumerate(said):
            secret = f"secret{user}{session}{number}"
            memory.add("user", f"I live in {secret}. I like {WORDS[word]} {secret}.", user=user, session=session)
            memory.pin(f"pin{user}{session}{number}", user=user, session=session)
        memory.catch_up()
        for user in "ab":
            for session in "xy":
                found = memory.context(
                    " ".join([*query, "secret"]), user=user, session=session, budget_tokens=400, scope="session"
                )
                seen = found.text + json.dumps(
                    [
                        f.message.content
                        for f in memory.search(" ".join(query), user=user, session=session, scope="session")
                    ]
                )
                seen += json.dumps([f.value for f in memory.facts(user=user, session=session, scope="session")])
                assert {m[:2] for m in re.findall(r"(?:secret|pin)(..)", seen)} <= {user + session}
    file.unlink()


def test_sessions_are_listed_and_search_may_span_those_of_one_user(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "alpha one", session="s1", user="ann", time=10)
    memory.add("user", "alpha two", session="s2", user="ann", time=20)
    memory.add("user", "alpha three", session="s1", user="bob", time=30)
    assert [(s.user, s.session, s.num_messages) for s in memory.sessions(everyone=True)] == [
        ("ann", "s1", 1),
        ("ann", "s2", 1),
        ("bob", "s1", 1),
    ]
    assert {f.message.content for f in memory.search("alpha", user="ann")} == {"alpha one", "alpha two"}
    assert memory.stats(user="ann").num_messages == 2
    assert memory.stats(everyone=True).num_sessions == 3
