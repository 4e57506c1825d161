"""Sessions of a user: listed, counted, searched together."""

from memory_stores import MakeMemory


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
