"""Dialogues and questions with known evidence: LoCoMo, BEAM-100K, Koziev, XQuAD, read from the folder they were put in."""

import gzip
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from interconnected_ai.errors import DataError
from interconnected_ai.text import sentences


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a dialogue. time: seconds since 1970, or None where the data set has none."""

    id: str
    role: str
    content: str
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the ids of the turns that answer it, and its kind."""

    text: str
    evidence: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns in order, and questions about them."""

    turns: list[Turn]
    questions: list[Asked] = field(default_factory=list)


def read_locomo(folder: Path) -> list[Dialogue]:
    """LoCoMo (Maharana et al. 2024): ten dialogues; questions of categories 1 to 4 that have evidence."""
    return [_locomo(item) for item in json.loads(_text(folder / "locomo" / "locomo10.json"))]


def read_beam(folder: Path) -> list[Dialogue]:
    """BEAM-100K (Tavakoli et al. 2025): twenty chats with an assistant; questions with evidence, abstention left out."""
    path = folder / "beam100k" / "chats.jsonl.gz"
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [_beam(json.loads(line)) for line in lines]
    except OSError as error:
        raise DataError(f"{path} is missing or unreadable: {error}; see `iai bench memory --help`") from error


def read_koziev(folder: Path, num_questions: int, seed: int) -> Dialogue:
    """Koziev's first-person facts in Russian, each a turn, and a sample of the questions that ask for more than yes or no."""
    pairs = []
    fact = ""
    for line in _text(folder / "koziev" / "premise_question_answer4_1s.txt").splitlines():
        if line.startswith("T:"):
            fact = line[2:].strip()
        elif line.startswith("Q:"):
            pairs.append((fact, line[2:].strip()))
    facts = list(dict.fromkeys(fact for fact, _ in pairs))
    number = {fact: str(place) for place, fact in enumerate(facts)}
    asking = [(fact, question) for fact, question in pairs if _asks_for_more(question)]
    random.Random(seed).shuffle(asking)
    questions = [Asked(question, (number[fact],)) for fact, question in asking[:num_questions]]
    return Dialogue([Turn(number[fact], "user", fact) for fact in facts], questions)


def read_xquad(folder: Path) -> Dialogue:
    """XQuAD (Artetxe et al. 2020) in Russian: each sentence a turn; a question's evidence is the sentence of its answer."""
    turns: list[Turn] = []
    questions = []
    for article in json.loads(_text(folder / "xquad" / "xquad.ru.json"))["data"]:
        for paragraph in article["paragraphs"]:
            spans = list(_spans(paragraph["context"]))
            first = len(turns)
            turns += [Turn(str(first + i), "user", text) for i, (_, text) in enumerate(spans)]
            for question in paragraph["qas"]:
                start = question["answers"][0]["answer_start"]
                inside = max(i for i, (begin, _) in enumerate(spans) if begin <= start or i == 0)
                questions.append(Asked(question["question"], (str(first + inside),)))
    return Dialogue(turns, questions)


def stream(folder: Path) -> Iterator[Turn]:
    """Messages without end: all chats of BEAM and all dialogues of LoCoMo, one after the other, then again as other days."""
    dialogues = [*read_beam(folder), *read_locomo(folder)]
    round_ = 0
    while True:
        for dialogue in dialogues:
            for turn in dialogue.turns:
                again = f" (round {round_})" if round_ else ""
                yield Turn(turn.id, turn.role, turn.content + again, None)
        round_ += 1


def stream_russian(folder: Path) -> Iterator[Turn]:
    """Messages in Russian: Koziev's facts in a fixed shuffle, eight to a message, users and assistants in turns, then again."""
    files = [folder / "koziev" / f"facts{number}_1s.txt" for number in (5, 6, 7)]
    facts = [line.strip() for file in files for line in _text(file).splitlines() if line.strip()]
    random.Random(0).shuffle(facts)
    round_ = 0
    while True:
        for place in range(0, len(facts) - 8, 8):
            again = f" Круг {round_}." if round_ else ""
            role = "assistant" if place % 16 else "user"
            yield Turn(f"{round_}-{place}", role, ". ".join(facts[place : place + 8]) + "." + again)
        round_ += 1


def russian_questions(folder: Path) -> list[str]:
    """Questions in Russian: half of Koziev's kind, half of XQuAD's."""
    koziev, xquad = read_koziev(folder, 60, seed=1), read_xquad(folder)
    return [question.text for question in [*koziev.questions, *xquad.questions[::20]]]


def stream_questions(folder: Path) -> list[str]:
    """Questions about the first messages of `stream`."""
    return [question.text for dialogue in read_beam(folder)[:6] for question in dialogue.questions]


_QUESTION_WORDS = frozenset(
    "кто кого кому кем что чего чему чем где куда откуда когда почему зачем как какой какая какое какие какую какого каким "
    "каком какими сколько чей чья чье чьи чью который которую".split()
)


def _asks_for_more(question: str) -> bool:
    return bool(_QUESTION_WORDS & set(re.findall(r"\w+", question.lower().replace("ё", "е"))))


def _locomo(item: dict[str, Any]) -> Dialogue:
    talk, turns, number = item["conversation"], [], 1
    while f"session_{number}_date_time" in talk:
        day = talk[f"session_{number}_date_time"]
        begins = datetime.strptime(day, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC).timestamp()
        for place, said in enumerate(talk.get(f"session_{number}", [])):
            turns.append(Turn(said["dia_id"], said["speaker"], said["text"], begins + 30 * place))
        number += 1
    known = {turn.id for turn in turns}
    questions = []
    for asked in item["qa"]:
        found = [id for text in asked.get("evidence", []) for id in re.findall(r"D\d+:\d+", text)]
        evidence = tuple(dict.fromkeys(id for id in found if id in known))
        if asked["category"] != 5 and evidence:
            questions.append(Asked(asked["question"], evidence, str(asked["category"])))
    return Dialogue(turns, questions)


def _beam(chat: dict[str, Any]) -> Dialogue:
    turns = [Turn(str(m["id"]), m["role"], m["content"]) for m in chat["messages"]]
    known = {turn.id for turn in turns}
    questions = []
    for asked in chat["questions"]:
        evidence = tuple(str(id) for id in asked["evidence"] if str(id) in known)
        if asked["type"] != "abstention" and evidence:
            questions.append(Asked(asked["question"], evidence, asked["type"]))
    return Dialogue(turns, questions)


def _spans(context: str) -> Iterator[tuple[int, str]]:
    """(where it begins, sentence)."""
    place = 0
    for sentence in sentences(context):
        found = context.find(sentence[:20], place)
        place = found if found >= 0 else place
        yield place, sentence
        place += len(sentence)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} is missing or unreadable: {error.strerror}; see `iai bench memory --help`") from error
