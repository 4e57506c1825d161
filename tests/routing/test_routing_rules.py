"""Rules: what they hear in a request, which of them goes first, and what is wrong with a file of them."""

import re
from pathlib import Path

import pytest

from interconnected_ai.errors import ConfigError
from interconnected_ai.routing import RuleRouter
from interconnected_ai.types import Request, Route
from properties import examples

HEAD = "experts: [code, law, chat]\n"


def router(rules: str, head: str = HEAD) -> RuleRouter:
    return RuleRouter.from_text(head + rules, source="rules.yaml")


def routed(rules: RuleRouter, text: str = "", **settings: object) -> Route:
    (found,) = rules.route([Request(text, **settings)])  # type: ignore[arg-type]
    return found


def one(rule: str) -> str:
    """A file with this rule, in line 3."""
    return f"{HEAD}rules:\n- {{{rule}}}\n"


def two(first: str, second: str) -> str:
    """A file with these rules, in lines 3 and 4."""
    return f"{one(first)}- {{{second}}}\n"


def faults(text: str, **known: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        RuleRouter.from_text(text, source="rules.yaml", **known)  # type: ignore[arg-type]
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("функция", "Почему падает моя функции?"),  # an ending
        ("человек", "Сколько людей живёт в Риге"),  # another root: the dictionary knows
        ("ёлка", "где купить елку"),
        ("run", "the program is RUNNING away"),
        ("stack trace", "here is the stack traces of it"),
        ("кто ты", "а кто ты такой"),  # words that say nothing by themselves
        ("who are you", "Who are you?"),
        ("don't know", "I don’t know"),
    ],
)
def test_words_are_found_in_all_their_forms(word: str, said: str) -> None:
    rules = router(f'rules: [{{to: code, words: ["{word}"]}}]')
    found = routed(rules, said)
    assert found.expert == "code"
    assert not found.is_fallback
    assert word in found.reason
    assert routed(rules, "something else").expert is None


def test_a_phrase_is_its_words_side_by_side() -> None:
    rules = router("rules: [{to: law, words: [court of appeal]}]")
    assert routed(rules, "the Court of Appeals said").expert == "law"
    assert routed(rules, "an appeal of the court").abstains
    assert routed(rules, "court of").abstains


@pytest.mark.parametrize(
    ("conditions", "holds", "fails"),
    [
        ("words: [sun, rain]", {"text": "rain again"}, {"text": "snow"}),
        ("all_words: [sun, rain]", {"text": "rain and sun"}, {"text": "rain"}),
        ("words: [rain], no_words: [snow]", {"text": "rain"}, {"text": "rain and snow"}),
        ("no_words: [snow]", {"text": "rain"}, {"text": "snow"}),
        ("patterns: 'v\\d+\\.\\d+'", {"text": "since v2.13"}, {"text": "since v2"}),
        ("patterns: [aaa, '(?i)err']", {"text": "ERROR"}, {"text": "warning"}),
        ("roles: [code]", {"text": "x", "role": "code"}, {"text": "x", "role": "law"}),
        ("roles: [code]", {"text": " <|role=code|> x"}, {"text": "x <|role=code|>"}),
        ("prompt_ids: [p1, p2]", {"text": "", "prompt_id": "p2"}, {"text": "", "prompt_id": "p3"}),
        ("languages: [ru]", {"text": "сколько времени"}, {"text": "what is the time"}),
        ("languages: [ru]", {"text": "what", "language": "Russian"}, {"text": "время", "language": "English"}),
        ("users: [ann]", {"text": "", "user": "ann"}, {"text": ""}),
        ("flags: [a, b]", {"text": "", "flags": frozenset("abc")}, {"text": "", "flags": frozenset("ac")}),
        ("min_words: 3", {"text": "one two three"}, {"text": "one two"}),
        ("max_words: 2", {"text": "one two"}, {"text": "one two three"}),
    ],
)  # fmt: skip
def test_a_condition_holds_or_does_not(conditions: str, holds: dict[str, object], fails: dict[str, object]) -> None:
    rules = router(f"rules: [{{to: code, {conditions}}}]")
    assert routed(rules, **holds).expert == "code"  # type: ignore[arg-type]
    assert routed(rules, **fails).abstains  # type: ignore[arg-type]


def test_the_higher_priority_goes_first_and_of_equals_the_earlier() -> None:
    rules = router(
        "rules:\n- {name: a, to: code, words: sun}\n- {name: b, to: law, words: rain}\n"
        "- {name: c, to: chat, words: snow, priority: 5}\n"
    )
    found = routed(rules, "sun, rain and snow")
    assert [each.expert for each in found.experts] == ["chat", "code", "law"]
    assert [each.score for each in found.experts] == [1.0, 0.0, 0.0]
    assert found.runner_up is not None
    assert found.runner_up.expert == "code"
    assert "'c'" in found.reason
    assert [each.rule.name for each in rules.fired(Request("sun, rain and snow"))] == ["c", "a", "b"]


def test_who_may_not_answer_does_not_whatever_the_priority() -> None:
    rules = router(
        "default: code\nfallbacks: {code: law}\nrules:\n- {name: guests, deny: [code], flags: guest, priority: -9}\n"
        "- {name: sun, to: code, words: sun}\n- {name: rain, to: law, words: rain}\n"
        "- {name: kids, allow: [chat], flags: child}\n"
    )
    guest = routed(rules, "sun and rain", flags=frozenset({"guest"}))
    assert (guest.expert, guest.barred) == ("law", frozenset({"code"}))
    assert "'guests'" in guest.reason
    assert routed(rules, "sun and rain").expert == "code"
    silent = routed(rules, "snow", flags=frozenset({"guest"}))
    assert (silent.expert, silent.is_fallback) == ("law", True), "who stands in for the default"
    child = routed(rules, "sun and rain", flags=frozenset({"child"}))
    assert (child.expert, child.abstains, child.barred) == (None, True, frozenset({"code", "law"}))


def test_no_rule_is_the_default_or_no_answer() -> None:
    with_default = routed(router("default: chat\nrules: [{to: code, words: sun}]"), "rain")
    assert (with_default.expert, with_default.is_fallback, with_default.abstains) == ("chat", True, False)
    without = routed(router("rules: [{to: code, words: sun}]"), "")
    assert (without.expert, without.is_fallback, without.abstains) == (None, False, True)
    assert "no rule" in without.reason


def test_a_role_nobody_knows_is_told() -> None:
    rules = router("roles: [code]\ndefault: chat\nrules: [{to: code, roles: code}]")
    assert "unknown role 'cdoe'" in routed(rules, "<|role=cdoe|> x").reason


def test_words_of_yaml_that_mean_something_else_are_words_here() -> None:
    rules = router("rules: [{to: code, words: [no, on, 12, 1e3]}]")
    assert routed(rules, "No!").expert == "code"
    assert routed(rules, "12").expert == "code"
    assert routed(rules, "false").abstains


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (HEAD + "rules:\n- {to: cod, words: sun}\n", 3, "unknown expert 'cod'; known, nearest first: code"),
        (HEAD + "rules:\n\n- name: x\n  to: code\n  roels: x\n", 6, "unknown key 'roels'; known, nearest first: roles"),
        (HEAD + "roles: [code, law]\nrules:\n- {to: code, roles: cdoe}\n", 4, "unknown role 'cdoe'; known, nearest first"),
        (HEAD + "rules:\n- {to: code, roles: 'a b'}\n", 3, "role 'a b'"),
        (HEAD + "default: chta\n", 2, "unknown expert 'chta'"),
        (HEAD + "fallbacks:\n  code: law\n  law: chat\n  chat: code\n", 3, "circle: code → law → chat → code"),
        (HEAD + "fallbacks:\n  code: code\n", 3, "circle: code → code"),
        (HEAD + "fallbacks:\n  code: lwa\n", 3, "unknown expert 'lwa'"),
        (two("name: a, to: code, words: sun", "name: b, to: code, words: suns"), 4, "repeats rule 'a' in line 3"),
        (two("name: a, to: code, words: sun", "name: b, to: law, words: sun"), 4, "contradicts rule 'a' in line 3"),
        (two("name: a, to: code, words: [sun, rain]", "name: b, to: law, words: sun, roles: x"), 4, "never reached"),
        (two("name: b, to: law, words: sun", "name: a, to: code, words: sun, priority: 1"), 3, "never reached"),
        (two("name: a, to: code, words: court", "name: b, to: law, words: court of appeal"), 4, "never reached"),
        (two("name: a, to: code, max_words: 5", "name: b, to: law, max_words: 4"), 4, "never reached"),
        (two("name: a, to: code", "name: b, to: law, languages: ru"), 4, "never reached"),
        (two("name: a, to: code, patterns: x", "name: b, to: law, patterns: x, flags: f"), 4, "never reached"),
        (two("name: a, deny: code", "name: b, to: code, words: sun"), 4, "bars whenever it holds"),
        (two("name: a, deny: [code, law], flags: f", "name: b, deny: code, flags: [f, g]"), 4, "adds nothing"),
        (two("name: a, to: code, words: sun", "name: a, to: code, words: rain"), 4, "two rules are called 'a'"),
        (HEAD + "rules:\n- {name: a, to: code, min_words: 3, max_words: 2}\n", 3, "can never hold"),
        (HEAD + "rules:\n- {name: a, to: code, words: court of appeal, max_words: 2}\n", 3, "can never hold"),
        (HEAD + "rules:\n- {name: a, to: code, all_words: court of appeal, no_words: court}\n", 3, "must have and must not"),
        (HEAD + "rules:\n- {name: a, allow: code, deny: code}\n", 3, "allows and denies 'code'"),
        (HEAD + "rules:\n- {name: a, to: code, words: c++}\n", 3, "find it with `patterns`"),
        (HEAD + "rules:\n- {name: a, to: code, words: '?'}\n", 3, "has no word"),
        (HEAD + "rules:\n- to: code\n  patterns:\n  - x\n  - '(a)\\1'\n", 6, "without back references"),
        (HEAD + "rules:\n- {to: code, languages: rus}\n", 3, "unknown language 'rus'; known, nearest first: Russian"),
        (HEAD + "rules:\n- {to: [code, law], words: x}\n", 3, "to: needs one expert, got 2"),
        (HEAD + "rules:\n- {words: x}\n", 3, "needs either `to`"),
        (HEAD + "rules:\n- {to: code, deny: law}\n", 3, "needs either `to`"),
        (HEAD + "rules:\n- {to: code, words: x, words: y}\n", 3, "key 'words' stands twice"),
        (HEAD + "rules:\n- {to: code, words: }\n", 3, "words: needs a text"),
        (HEAD + "rules:\n- {to: code, words: []}\n", 3, "the list is empty"),
        (HEAD + "rules:\n- {to: code, min_words: -1}\n", 3, "min_words: needs a whole number"),
        (HEAD + "rules:\n- {to: code, priority: high}\n", 3, "priority: needs a whole number"),
        (HEAD + "rules: {to: code}\n", 2, "needs a list"),
        (HEAD + "rules: [code]\n", 2, "a rule needs keys"),
        ("rules: []\n", 1, "key 'experts' is missing"),
        ("", 1, "needs keys and values"),
        (HEAD + "rules: [\n", 3, "no valid YAML"),
        ("[" * 5000, None, "no valid YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told_with_its_line(text: str, line: int | None, words: str) -> None:
    told = faults(text)
    start = "rules.yaml:" if line is None else f"rules.yaml:{line}: "
    assert any(each.startswith(start) and words in each for each in told), told


def test_all_faults_are_told_at_once_in_the_order_of_their_lines() -> None:
    told = faults(HEAD + "default: nobody\nrules:\n- {to: cod, words: a}\n- {to: lwa, words: b}\n")
    assert [int(each.split(":")[1]) for each in told] == [2, 4, 5]


def test_experts_and_roles_of_the_caller_are_those_that_there_are() -> None:
    text = "rules:\n- {to: code, roles: code}\n"
    assert RuleRouter.from_text(text, experts=["code"], roles=["code"]).book.experts == ("code",)
    assert "unknown expert 'code'" in faults(text, experts=["law"])[0]
    assert "unknown role 'code'" in faults(text, experts=["code"], roles=["law"])[0]
    assert "unknown expert 'chat'" in faults(HEAD + text, experts=["code", "law"])[0]


def test_rules_that_tell_requests_apart_are_well() -> None:
    for text in (
        two("name: a, to: code, words: [sun, rain], roles: x", "name: b, to: law, words: sun"),
        two("name: a, to: code, words: sun, max_words: 3", "name: b, to: law, words: sun, languages: ru"),
        two("name: a, to: code, words: sun, no_words: rain", "name: b, to: law, words: sun"),
        two("name: a, to: code, words: court of appeal", "name: b, to: law, words: court"),
        two("name: a, deny: code, flags: g", "name: b, to: code, words: sun"),
        two("name: a, to: code, words: sun", "name: b, to: law, words: sun, flags: g") + "- {deny: code, flags: g}\n",
    ):
        RuleRouter.from_text(text)


def test_a_file_is_read_from_disk_and_its_absence_told(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(HEAD + "rules: [{to: law, words: суд}]", encoding="utf-8")
    assert routed(RuleRouter.from_file(tmp_path / "r.yaml"), "в суде").expert == "law"
    with pytest.raises(ConfigError, match="no rules at"):
        RuleRouter.from_file(tmp_path / "absent.yaml")
    (tmp_path / "cp1251.yaml").write_bytes("experts: [суд]".encode("cp1251"))
    with pytest.raises(ConfigError, match="UTF-8"):
        RuleRouter.from_file(tmp_path / "cp1251.yaml")


def test_the_index_finds_what_looking_at_every_rule_finds() -> None:
    from hypothesis import given
    from hypothesis import strategies as st

    vocabulary = ["sun", "rain", "snow", "wind"]
    lines = [f"- {{name: r{n}, to: code, {kind}: [{', '.join(some)}], min_words: {n % 3}, priority: {n}, flags: f{n}}}"
             for n, (kind, some) in enumerate((kind, some) for kind in ("words", "all_words", "no_words")
                                              for some in (vocabulary[:2], vocabulary[1:], vocabulary[3:]))]  # fmt: skip
    rules = router("rules:\n" + "\n".join(lines))
    flags = frozenset(f"f{n}" for n in range(len(lines)))

    @examples(60)
    @given(st.lists(st.sampled_from(vocabulary), max_size=5))
    def holds(said: list[str]) -> None:
        expected = []
        for rule in rules.book.rules:
            when = rule.when
            some, every, none = ({str(p) for p in each} for each in (when.words, when.all_words, when.no_words))
            if (
                (not some or some & set(said))
                and every <= set(said)
                and not none & set(said)
                and len(said) >= when.min_words
            ):
                expected.append(rule.name)
        assert [each.rule.name for each in rules.fired(Request(" ".join(said), flags=flags))] == expected

    holds()


def test_half_a_character_and_a_text_without_end_are_read() -> None:
    rules = router("rules: [{to: code, patterns: '(a+)+$', words: sun}]")
    assert routed(rules, "\ud83d sun " + "a" * 5).expert == "code"
    assert routed(rules, "sun " + "a" * 50_000 + "!").abstains, "linear time, whatever the pattern"


def test_evidence_names_the_words_of_the_text() -> None:
    rules = router(
        "rules: [{name: r, to: code, words: [функция], roles: code, patterns: 'x+', min_words: 1, no_words: [суд]}]"
    )
    (fired,) = rules.fired(Request("<|role=code|>функции xx"))
    assert fired.evidence == ("role code", "2 words", "'функции' is 'функция'", "without 'суд'", "'xx' is x+")
    assert re.match(r"rule 'r' \(line 2\): role code; 2 words", str(fired))
