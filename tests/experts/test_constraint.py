"""Answers held to a JSON schema, an expression or choices: any model keeps to them, on every engine that has forms."""

import gc
import json
import re
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from engine_parameters import parameter
from expert_models import made, tokenizer
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, normalizers

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ConfigError, EngineError
from interconnected_ai.experts import Engine, Expert, TorchEngine, generate, open_engine, save_expert
from interconnected_ai.text import PretrainedTokenizer, Tokenizer
from interconnected_ai.types import Generation
from properties import examples

WINDOW = 1200
PROMPT = [1, 2, 3]
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "tags": {"type": "array", "items": {"enum": ["a", "bé", None]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
SAMPLING: dict[str, Any] = {"max_new_tokens": 600, "temperature": 1.0}


@pytest.fixture(scope="module")
def engine() -> Iterator[TorchEngine]:
    model = made(norm="pre", vocab_size=337, max_seq_len=WINDOW)  # 7 ids more than the tokenizer has
    with TorchEngine(model, tokenizer()) as opened:
        yield opened


def ask(engine: Engine, seed: int = 0, **settings: Any) -> Generation:
    config = GenerationConfig.from_mapping({**SAMPLING, **settings}, source="test")
    return engine([PROMPT], config, seed=seed)[0]


# What comes out


def test_a_random_model_answers_in_the_schema(engine: TorchEngine) -> None:
    for seed in range(20):
        answer = ask(engine, seed, json_schema=PERSON)
        jsonschema.validate(json.loads(str(answer)), PERSON)
        assert answer.ended == "eos"
        assert answer.satisfied


def bounded(depth: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas whose instances are short."""
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    leaves: list[st.SearchStrategy[dict[str, Any]]] = [
        st.just({"type": "boolean"}),
        st.just({"type": "null"}),
        st.tuples(st.integers(-99, 99), st.integers(0, 99)).map(
            lambda two: {"type": "integer", "minimum": two[0], "maximum": two[0] + two[1]}
        ),
        st.tuples(st.integers(0, 3), st.integers(0, 4)).map(
            lambda two: {"type": "string", "minLength": two[0], "maxLength": two[0] + two[1]}
        ),
        st.sampled_from(["^[a-c]{1,3}$", "^(ja|nein)$", "^é?x$"]).map(lambda p: {"type": "string", "pattern": p}),
        st.lists(st.one_of(st.none(), st.booleans(), st.integers(), texts), min_size=1, max_size=4).map(
            lambda values: {"enum": values}
        ),
        texts.map(lambda value: {"const": value}),
    ]
    if not depth:
        return st.one_of(leaves)
    inner = bounded(depth - 1)
    arrays = st.tuples(inner, st.integers(0, 2), st.integers(0, 2)).map(
        lambda three: {
            "type": "array",
            "items": three[0],
            "minItems": three[1],
            "maxItems": three[1] + three[2],
        }
    )
    objects = st.dictionaries(texts, inner, max_size=3).flatmap(
        lambda parts: st.sets(st.sampled_from(sorted(parts)) if parts else st.nothing(), max_size=len(parts)).map(
            lambda needed: {
                "type": "object",
                "properties": parts,
                "required": sorted(needed),
                "additionalProperties": False,
            }
        )
    )
    ways = st.lists(inner, min_size=1, max_size=3).map(lambda several: {"anyOf": several})
    return st.one_of(*leaves, arrays, objects, ways)


@examples(60)
@given(schema=bounded(), seed=st.integers(0, 9))
def test_every_answer_meets_whatever_schema_it_was_held_to(
    schema: dict[str, Any], seed: int, engine: TorchEngine
) -> None:
    stream = Expert(None, tokenizer(), engine=engine).stream("x", seed=seed, **SAMPLING, json_schema=schema)
    text = "".join(stream)
    jsonschema.validate(json.loads(text), schema)
    assert stream.result().satisfied
    assert stream.result().text == text


@pytest.mark.parametrize(
    "regex", ["[a-f]{3}-\\d{2}", "(да|нет)!?", "a", "^x{2,4}$", "[^a-z]{4}", "😀{2}", '\\{"k": (1|2)\\}']
)
def test_the_whole_answer_matches_the_expression(engine: TorchEngine, regex: str) -> None:
    for seed in range(8):
        answer = ask(engine, seed, regex=regex)
        assert re.fullmatch(regex, str(answer)), str(answer)
        assert answer.satisfied


CHOICES = ("yes", "no", "не знаю", 'say "no"\\', "yes, but\nno", "й")


def test_the_answer_is_one_of_the_choices_and_each_is_reached(engine: TorchEngine) -> None:
    found = {str(ask(engine, seed, choices=CHOICES, temperature=3.0)) for seed in range(80)}
    assert found == set(CHOICES)


def test_a_choice_that_another_begins_with_can_be_the_answer(engine: TorchEngine) -> None:
    answers = [ask(engine, seed, choices=("a", "ab", "abc"), temperature=20.0) for seed in range(40)]
    assert {str(answer) for answer in answers} == {"a", "ab", "abc"}
    assert {answer.ended for answer in answers} == {"eos"}


# How it goes with the rest


@pytest.mark.parametrize("name", [parameter(name) for name in ("torch", "onnx", "llamacpp")])
def test_rows_of_a_batch_are_held_one_by_one_and_streams_bring_their_tokens(name: str, tmp_path: Path) -> None:
    save_expert(made(norm="pre", vocab_size=330, max_seq_len=WINDOW), tmp_path / "expert", tokenizer())
    config = GenerationConfig.from_mapping({**SAMPLING, "json_schema": PERSON}, source="test")
    prompts = [[1, 2, 3], [4, 5, 6, 7, 8], [9], [1, 2, 3]]
    with open_engine(name, tmp_path / "expert", threads=1) as engine:
        answers = engine(prompts, config, seed=5)
        stream = engine.stream(prompts, config, seed=5)
        steps = list(stream)
        assert stream.result() == answers
        for row, answer in enumerate(answers):
            jsonschema.validate(json.loads(str(answer)), PERSON)
            assert tuple(step.token_id for step in steps if step.row == row) == answer.token_ids
        assert engine(prompts[1:2], config, seed=5) == answers[1:2]
    assert answers[0] != answers[3]


@pytest.mark.parametrize("num_beams", [2, 5])
def test_beams_are_held_too(engine: TorchEngine, num_beams: int) -> None:
    for settings in ({"json_schema": PERSON}, {"regex": "[ab]{2,5}"}, {"choices": CHOICES}):
        answer = ask(engine, num_beams=num_beams, **settings)
        assert answer.satisfied
        assert answer.ended == "eos"


def test_more_beams_find_a_choice_that_is_at_least_as_likely(engine: TorchEngine) -> None:
    def likelihood(num_beams: int) -> float:
        answer = ask(engine, num_beams=num_beams, choices=CHOICES, logprobs=0, length_penalty=0.0, temperature=0.0)
        return sum(step.logprob or 0.0 for step in answer.steps)

    assert likelihood(8) >= likelihood(1) - 1e-4


@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 1.8},
        {"presence_penalty": 2.0, "frequency_penalty": 2.0},
        {"top_k": 3},
        {"top_p": 0.2},
        {"min_p": 0.5},
        {"temperature": 0.0, "repetition_penalty": 1.3},
        {"bad_words": ("q", "7")},
        {"logprobs": 3},
        {"window": "slide"},
    ],
    ids=str,
)
def test_penalties_cuts_and_bad_words_go_together_with_a_form(engine: TorchEngine, settings: dict[str, Any]) -> None:
    for seed in range(5):
        answer = ask(engine, seed, json_schema=PERSON, **settings)
        assert answer.satisfied
        for word in settings.get("bad_words", ()):
            assert word not in json.loads(str(answer))["name"]


def test_bad_words_that_leave_no_token_say_so(engine: TorchEngine) -> None:
    for settings in ({}, {"num_beams": 2}):
        with pytest.raises(EngineError, match="bad_words, and the form that the answer is held to, forbid every token"):
            ask(engine, choices=("no",), bad_words=("n",), **settings)


def test_without_an_end_token_an_answer_ends_where_nothing_can_follow() -> None:
    with TorchEngine(made(vocab_size=330, max_seq_len=WINDOW), tokenizer()) as engine:
        engine._end_ids = ()
        answer = ask(engine, choices=("yes", "no"))
        assert str(answer) in ("yes", "no")
        assert (answer.ended, answer.satisfied) == ("eos", True)
        longer = ask(engine, regex="a+", max_new_tokens=5)
        assert (str(longer), longer.ended, longer.satisfied) == ("a" * len(str(longer)), "length", True)


# Cut short


def test_an_answer_that_was_cut_short_says_that_it_is_not_what_was_asked(engine: TorchEngine) -> None:
    answer = ask(engine, json_schema=PERSON, max_new_tokens=4)
    assert (answer.ended, answer.satisfied) == ("length", False)
    stopped = ask(engine, json_schema=PERSON, stop=('"age"',))
    assert (stopped.ended, stopped.satisfied) == ("stop", False)
    assert str(stopped).startswith('{"name": "')


def test_an_answer_that_is_whole_at_its_last_token_is_what_was_asked(engine: TorchEngine) -> None:
    needed = len(ask(engine, choices=("yes, but",)).token_ids)
    answer = ask(engine, choices=("yes, but",), max_new_tokens=needed)
    assert (str(answer), answer.satisfied) == ("yes, but", True)


def test_an_answer_without_a_form_says_nothing_of_one(engine: TorchEngine) -> None:
    assert ask(engine, max_new_tokens=3).satisfied is None


# What cannot be


RECURSIVE = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
NO_JSON = [
    False,
    RECURSIVE,
    {"$ref": "#"},
    {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    {"type": "array", "minItems": 1, "items": {"$ref": "#"}},
    {"enum": []},
    {"type": "integer", "minimum": 5, "maximum": 3},
    {"type": "string", "minLength": 4, "maxLength": 2},
    {"type": "object", "properties": {"a": False}, "required": ["a"]},
    {"allOf": [{"type": "string"}, {"type": "number"}]},
]
UNKNOWN = [
    {"type": "blah"},
    {"type": "array", "uniqueItems": True},
    {"not": {"type": "string"}},
    {"type": "string", "format": "of its own"},
    {"type": "string", "pattern": "a[b"},
    {"$ref": "https://example.com/schema"},
    {"$ref": "#/$defs/missing"},
]


@pytest.mark.parametrize("schema", [*NO_JSON, *UNKNOWN], ids=json.dumps)
def test_a_schema_that_cannot_be_kept_is_refused_before_anything_runs(engine: TorchEngine, schema: Any) -> None:
    config = GenerationConfig(json_schema=schema)
    for call in (engine, engine.stream):
        with pytest.raises(ConfigError, match="json_schema"):
            call([PROMPT], config)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]},
        {"$defs": {"a/b": {"type": "null"}}, "$ref": "#/$defs/a~1b"},
    ],
    ids=json.dumps,
)
def test_a_schema_that_refers_to_itself_with_an_end_is_kept(engine: TorchEngine, schema: Any) -> None:
    for seed in range(4):
        answer = ask(engine, seed, json_schema=schema, max_new_tokens=300)
        assert answer.satisfied or answer.ended == "length"
        if answer.satisfied:
            jsonschema.validate(json.loads(str(answer)), schema)


@pytest.mark.parametrize("regex", ["a[", "(?=a)b", "(a)\\1", "[^\\s\\S]"])
def test_an_expression_that_cannot_be_kept_is_refused(engine: TorchEngine, regex: str) -> None:
    with pytest.raises(ConfigError, match="regex"):
        ask(engine, regex=regex)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"regex": "a", "choices": ["a"]}, "regex and choices each say what an answer may be; give one"),
        ({"json_schema": {}, "regex": "a"}, "json_schema and regex each say"),
        ({"json_schema": "{"}, "json_schema: the schema is not JSON"),
        ({"json_schema": '"text"'}, "is an object, true or false, got str"),
        ({"json_schema": [1]}, "is an object, true or false, got list"),
        ({"json_schema": {"const": float("nan")}}, "the schema is not JSON"),
        ({"json_schema": {"const": object()}}, "the schema is not JSON"),
        ({"json_schema": {"const": "x" * 300_000}}, "bytes; 262,144 at most"),
        ({"json_schema": "[" * 100_000}, "nested too deep"),
        ({"json_schema": '{"a":' * 80 + "1" + "}" * 80}, "nested too deep; 64 levels"),
        ({"json_schema": '{"const": "\\ud800"}'}, "holds half a character"),
        ({"regex": ""}, "regex: it is empty"),
        ({"regex": "x" * 300_000}, "bytes; 262,144 at most"),
        ({"regex": 7}, "regex = 7"),
        ({"choices": ["a", "a"]}, "choices hold 'a' twice"),
        ({"choices": ["a", ""]}, "choices hold an empty string"),
        ({"choices": [str(n) for n in range(10_001)]}, "at most 10,000"),
        ({"choices": ["\ud800"]}, "holds half a character"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_form_is_looked_at_when_it_is_given(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        GenerationConfig.from_mapping(settings, source="test")


def test_a_large_expression_is_refused_or_compiled_within_the_librarys_limits(engine: TorchEngine) -> None:
    with pytest.raises((ConfigError, EngineError), match=r"regex: .*too many expressions"):
        ask(engine, regex="(a|b){1,60000}" * 200)


def test_a_schema_as_text_is_the_schema_and_goes_through_files(tmp_path: Path) -> None:
    config = GenerationConfig(json_schema=PERSON)
    assert config == GenerationConfig(json_schema=json.dumps(PERSON, indent=2))
    assert json.loads(str(config.json_schema)) == PERSON
    (tmp_path / "settings.yaml").write_text(config.to_yaml(), encoding="utf-8")
    assert GenerationConfig.from_file(tmp_path / "settings.yaml") == config
    assert hash(config) == hash(config.with_changes())


def test_a_form_needs_a_tokenizer_and_names_itself() -> None:
    model = made()
    with (
        TorchEngine(model) as engine,
        pytest.raises(ConfigError, match=r"choices=.* is text, and there is no tokenizer"),
    ):
        ask(engine, choices=("a",), max_new_tokens=3)
    with TorchEngine(model) as engine:
        decoder = engine.decoder()
        with pytest.raises(ConfigError, match="no tokenizer"):
            generate(decoder, [PROMPT], GenerationConfig(regex="a", max_new_tokens=3))


def test_a_vocabulary_that_lacks_the_letters_says_that_no_token_is_left() -> None:
    """The model's vocabulary is smaller than its tokenizer's: most letters are out of its reach."""
    with TorchEngine(made(vocab_size=40), tokenizer()) as engine, pytest.raises(EngineError, match="no token is left"):
        ask(engine, choices=("éé",), max_new_tokens=5)


def pretrained(pieces: Sequence[str], **settings: Any) -> PretrainedTokenizer:
    """As SentencePiece makes them: a token for every byte, a space before every text."""
    listed = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    fast = FastTokenizer(
        models.BPE({piece: number for number, piece in enumerate(listed)}, [], byte_fallback=True, unk_token="<unk>")
    )
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    fast.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PretrainedTokenizer(
        fast, end_ids=[2], names={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, **settings
    )


def test_a_tokenizer_with_tokens_for_bytes_writes_letters_where_it_has_them() -> None:
    own = pretrained(["▁", "a", "b", "c", "é"])
    size = own.vocab_size
    with TorchEngine(made(vocab_size=size, max_seq_len=WINDOW), own) as engine:
        answer = ask(engine, choices=("cab é ж",))
        assert str(answer) == "cab é ж"
        assert [own.token(token) for token in answer.token_ids] == ["c", "a", "b", "▁", "é", "▁", "<0xD0>", "<0xB6>"]
        for seed in range(5):
            assert ask(engine, seed, json_schema=PERSON).satisfied


def test_an_end_token_beyond_the_models_vocabulary_is_none() -> None:
    with TorchEngine(made(vocab_size=330, max_seq_len=WINDOW), tokenizer(), end_ids=[0, 5000]) as engine:
        assert ask(engine, choices=CHOICES).satisfied


def test_what_is_kept_of_a_tokenizer_goes_with_it() -> None:
    own = Tokenizer.train(["a few words"], 300)
    with TorchEngine(made(vocab_size=300, max_seq_len=WINDOW), own) as engine:
        assert ask(engine, choices=("a",)).satisfied
    held = weakref.ref(own)
    del own, engine
    gc.collect()
    assert held() is None


def test_forced_text_is_written_in_the_tokenizers_own_tokens(engine: TorchEngine) -> None:
    own: Tokenizer = tokenizer()
    text = "The router gives every token to two experts"
    assert list(ask(engine, choices=(text,)).token_ids) == own.encode(text)
