"""What people may ask about documented libraries, made of their documentation: requests for a router to learn from."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from interconnected_ai.bench.everyday_requests import EVERYDAY_REQUESTS
from interconnected_ai.data import TEST, TRAIN, VALIDATION, Document, Survey
from interconnected_ai.routing import Example
from interconnected_ai.text import digest_of, sentences

MOST_DOCUMENTS = 300  # of each library to learn from, drawn by a hash; a third of that on each of the other sides
_KEY = b"requests"
_SHORTEST, _LONGEST = 12, 160  # characters of a sentence that is asked about
_CALLED = {"stdlib": "Python", "numpy": "NumPy", "torch": "PyTorch"}

# By name, which is how those ask who know what they want; {name} is dotted, {leaf} its last part.
_OF_A_NAME = (
    "What does {name} do?",
    "How do I use {name}?",
    "what is {leaf} in {library} for",
    "Explain {name} with an example.",
    "{name}",
    "Что делает {name}?",
    "Как пользоваться {name}?",
    "Для чего в {library} нужен {leaf}?",
)
# By what it does, which is how others ask.
_OF_A_DEED = (
    "{sentence}",
    "How do I do this in {library}: {sentence}",
    "I want to do the following. {sentence}",
    "Which function of {library} does this? {sentence}",
    "what can I call to {deed}",
    "How do I {deed}?",
    "Как сделать это в {library}? {sentence}",
)


@dataclass(frozen=True)
class Requests:
    """Labelled requests by side; those of no expert are everyday talk."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]


def documentation_requests(texts: Mapping[str, Survey], *, most_documents: int = MOST_DOCUMENTS) -> Requests:
    """Two requests about each document of each expert's documentation, on the side of the document itself.

    texts: expert → what was read of its library, which is called as the expert is or has no other name. What an expert was not
    trained on no router learns from. Everyday requests are dealt to the three sides by a hash of their words.
    """
    sides: dict[int, list[Example]] = {TRAIN: [], VALIDATION: [], TEST: []}
    for expert, found in texts.items():
        for side, document in _drawn(found, most_documents):
            sides[side] += [Example(text, expert) for text in _asked(document, _CALLED.get(expert, expert))]
    for text in EVERYDAY_REQUESTS:
        sides[(TRAIN, VALIDATION, TEST)[digest_of(text, _KEY) % 3]].append(Example(text, None))
    return Requests(*(tuple(_distinct(sides[side])) for side in (TRAIN, VALIDATION, TEST)))


def _drawn(found: Survey, most: int) -> Iterator[tuple[int, Document]]:
    by_side: dict[int, list[Document]] = {TRAIN: [], VALIDATION: [], TEST: []}
    for side, _, document in found.documents():
        by_side[side].append(document)
    for side, documents in by_side.items():
        ordered = sorted(documents, key=lambda one: digest_of(one.source, _KEY))
        yield from ((side, document) for document in ordered[: most if side == TRAIN else most // 3])


def _asked(document: Document, library: str) -> Iterator[str]:
    """One request by the document's name, and one by its first sentence."""
    draw = digest_of(document.source, _KEY + b" form")
    leaf = document.source.rpartition(".")[2]
    yield _OF_A_NAME[draw % len(_OF_A_NAME)].format(name=document.source, leaf=leaf, library=library)
    first = " ".join(next(iter(sentences(document.text)), "").split())
    if _SHORTEST <= len(first) <= _LONGEST:
        form = _OF_A_DEED[draw // len(_OF_A_NAME) % len(_OF_A_DEED)]
        yield form.format(sentence=first, library=library, deed=_deed(first))


def _deed(sentence: str) -> str:
    """ "Returns the sum." → "return the sum", as it stands after "How do I"."""
    first, space, rest = sentence.rstrip(".").partition(" ")
    verb = first[0].lower() + first[1:]
    if verb.endswith("s") and not verb.endswith("ss"):
        verb = verb[:-1]
    return f"{verb}{space}{rest}"


def _distinct(examples: Iterable[Example]) -> list[Example]:
    """Each text once; one that two experts would be asked in the same words is nobody's example."""
    owners: dict[str, set[str | None]] = {}
    listed = list(examples)
    for each in listed:
        owners.setdefault(each.text, set()).add(each.expert)
    kept = {each.text: each for each in listed if len(owners[each.text]) == 1}
    return list(kept.values())
