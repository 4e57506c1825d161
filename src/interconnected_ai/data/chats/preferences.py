"""A row becomes a better and a worse answer to one question: the dialects of TRL, UltraFeedback, OpenAI and others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interconnected_ai.data.chats.conversations import TURN_LISTS, check_order, question_turns, with_system
from interconnected_ai.data.chats.examples import ANSWERER, PreferencePair
from interconnected_ai.data.chats.turns import Turns, is_turn, is_turns, kind_of, text_of_content, turns_of
from interconnected_ai.errors import DataError
from interconnected_ai.types import ChatMessage

_ANSWERS = (
    ("chosen", "rejected"),
    ("preferred_output", "non_preferred_output"),
    ("chosen_response", "rejected_response"),
)
_QUESTIONS = ("prompt", "question", "instruction", "query", "input")
_HUMAN, _ASSISTANT = "\n\nHuman:", "\n\nAssistant:"  # as Anthropic's HH-RLHF has them
_KNOWN = (
    'known are {"prompt": …, "chosen": …, "rejected": …} with texts or lists of turns, lists of turns that share their '
    'beginning, {"messages": [...], "chosen": …, "rejected": …}, {"input": {"messages": [...]}, "preferred_output": …, '
    '"non_preferred_output": …} and {"instruction": …, "completions": [{"response": …, "overall_score": …}, …]}'
)

Messages = tuple[ChatMessage, ...]


@dataclass(frozen=True)
class ReadPair:
    """A pair, and whether the row's own scores say that the rejected answer is as good or better."""

    pair: PreferencePair
    scores_disagree: bool = False


def pair_of(row: Any, source: str) -> ReadPair:
    """The pair of a row. Raises `DataError`, without the place, that names the field and the remedy."""
    if not isinstance(row, dict):
        raise DataError(f"the row is {kind_of(row)}; {_KNOWN}")
    if is_ranked(row.get("completions")):
        row = _best_and_worst(row)
    names = next(((better, worse) for better, worse in _ANSWERS if better in row or worse in row), None)
    if names is None:
        keys = ", ".join(map(repr, list(row)[:12])) or "(none)"
        raise DataError(f"the row has the keys {keys}, which make no pair of answers; {_KNOWN}")
    if missing := [name for name in names if name not in row]:
        raise DataError(f"the row has no {missing[0]!r}; add the other answer, or take the row out")
    better, worse = names
    chosen, rejected = _said(row[better], better), _said(row[worse], worse)
    asked = _asked(row)
    if asked is None:
        asked, chosen, rejected = _split_at_the_first_difference(chosen, rejected, names)
    else:
        chosen, rejected = _after(asked, chosen), _after(asked, rejected)
    asked = with_system(Turns(asked), row).messages
    return ReadPair(_checked(PreferencePair(asked, chosen, rejected, source), names), _scores_disagree(row))


def is_ranked(value: Any) -> bool:
    """Whether a value is a list of answers with scores, as UltraFeedback has them."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "response" in one for one in value)


def _best_and_worst(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with the answers of the highest and the lowest score as its pair."""
    scored = []
    for place, one in enumerate(row["completions"]):
        score = next((one[key] for key in ("overall_score", "score") if one.get(key) is not None), None)
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise DataError(
                f"completions[{place}] has no number 'overall_score', so which answer is better cannot be known; add one, "
                "or write the pair as chosen and rejected"
            )
        scored.append((score, place))
    best, worst = max(scored, key=lambda pair: pair[0]), min(scored, key=lambda pair: pair[0])
    if best[0] == worst[0]:
        raise DataError(
            f"completions all have the score {best[0]}, none is better; take the row out, or write chosen and rejected"
        )
    responses = [one["response"] for one in row["completions"]]
    return {**row, "chosen": responses[best[1]], "rejected": responses[worst[1]]}


def _said(value: Any, field: str) -> Messages:
    """An answer, or a conversation that ends with one: a text, a turn, or turns."""
    if is_turn(value):
        return turns_of([value], field).messages
    if is_turns(value) or (isinstance(value, list) and not value):
        return turns_of(value, field).messages
    content = text_of_content(value, field)
    if not content.strip():
        raise DataError(f"{field} is empty, an answer without words; fill it in, or take the row out")
    if content.startswith((_HUMAN, _HUMAN.lstrip())) and _ASSISTANT in content:
        return _transcript(content, field)
    return (ChatMessage(ANSWERER, content),)


def _transcript(text: str, field: str) -> Messages:
    """The turns of one text in which Human and Assistant take turns."""
    said = []
    for part in ("\n\n" + text.lstrip("\n")).split(_HUMAN)[1:]:
        human, *answers = part.split(_ASSISTANT)
        said.append({"role": "user", "content": human.strip()})
        said += [{"role": ANSWERER, "content": answer.strip()} for answer in answers]
    return turns_of(said, field).messages


def _asked(row: Mapping[str, Any]) -> Messages | None:
    """The prompt of a row, None where the answers hold it."""
    for key in TURN_LISTS:
        if row.get(key) is not None:
            return turns_of(row[key], key).messages
    for key in _QUESTIONS:
        value = row.get(key)
        if isinstance(value, dict) and is_turns(value.get("messages")):
            return turns_of(value["messages"], f"{key}.messages").messages
        if isinstance(value, str) and value.startswith((_HUMAN, _HUMAN.lstrip())):
            return _transcript(value.removesuffix("\n\nAssistant:"), key)
        if value is not None and value != []:
            return question_turns(row, key).messages
    return None


def _split_at_the_first_difference(
    chosen: Messages, rejected: Messages, names: tuple[str, str]
) -> tuple[Messages, ...]:
    """The beginning that both share, up to an answer, and what each goes on with."""
    shared = 0
    for one, other in zip(chosen, rejected, strict=False):
        if one != other:
            break
        shared += 1
    if shared == len(chosen) == len(rejected):
        shared -= 1  # the same throughout: the check of the pair says so
    while shared and chosen[shared - 1].role == ANSWERER and shared >= min(len(chosen), len(rejected)):
        shared -= 1
    if not shared:
        raise DataError(
            f"{names[0]} and {names[1]} share no question and the row has no prompt; add the key 'prompt', or write both as "
            "turns that begin with the same question"
        )
    return chosen[:shared], chosen[shared:], rejected[shared:]


def _after(asked: Messages, said: Messages) -> Messages:
    """What is said after the prompt, whether or not it is written before the answer once more."""
    questions = asked[1:] if asked and asked[0].role == "system" else asked
    for start in (asked, questions):
        if start and len(said) > len(start) and said[: len(start)] == start:
            return said[len(start) :]
    return said


def _checked(pair: PreferencePair, names: tuple[str, str]) -> PreferencePair:
    if not any(message.role != "system" for message in pair.prompt):
        raise DataError("the prompt holds no question; add what is asked, or take the row out")
    check_order(pair.prompt, "the prompt")
    if pair.prompt[-1].role == ANSWERER:
        raise DataError(
            "the prompt ends with an answer; let it end with the question that chosen and rejected reply to"
        )
    for name, said in zip(names, (pair.chosen, pair.rejected), strict=True):
        if not said or said[0].role != ANSWERER or said[-1].role != ANSWERER:
            role = said[0].role if said and said[0].role != ANSWERER else said[-1].role if said else "nothing"
            raise DataError(
                f"{name} is {role!r} where the answer to the prompt should stand; begin it with the answer, and let it end "
                "with one (or begin it with the same turns as the prompt)"
            )
    if pair.chosen == pair.rejected:
        raise DataError(f"{names[0]} and {names[1]} are the same, so nothing is preferred; take the row out")
    return pair


def _scores_disagree(row: Mapping[str, Any]) -> bool:
    for better, worse in (("score_chosen", "score_rejected"), ("chosen_score", "rejected_score")):
        chosen, rejected = row.get(better), row.get(worse)
        if isinstance(chosen, int | float) and isinstance(rejected, int | float):
            return chosen <= rejected
    return False
