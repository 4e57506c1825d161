"""Illnesses that single answers show: below counted words, classes never answered, doubtful labels, sure of any text."""

from math import sqrt
from typing import Any

import torch

from interconnected_ai.branches import MULTILINGUAL_ENCODER
from interconnected_ai.doctor import thresholds as limit
from interconnected_ai.doctor.history import History
from interconnected_ai.doctor.illness import Illness, Look, percent_ru
from interconnected_ai.doctor.settings import listed
from interconnected_ai.training import KeptAnswers, likely_mislabelled, reads_english_only


def reads_another_language(history: History) -> Illness | None:
    """An encoder of English under rows in other letters: looked at early, since it may be the cause of what else is found."""
    encoder = history.config.system.base_model_name
    if encoder is not None and not reads_english_only(encoder):
        return None
    told = {
        name: foreign
        for name, read in history.data.items()
        if (foreign := sum(read.languages.get(alphabet, 0.0) for alphabet in ("cyrillic", "other")))
        > limit.OTHER_ALPHABET.value
    }
    if not told:
        return None
    shares = ", ".join(f"{share:.0%} of {name}'s" for name, share in told.items())
    changes = {"system.base_model_name": MULTILINGUAL_ENCODER}
    return Illness(
        "encoder does not read the rows",
        f"{encoder or 'the encoder'} reads English; {shares} training rows are not in Latin letters",
        None,
        f"train with an encoder that reads them: base_model_name: {MULTILINGUAL_ENCODER} (--fix writes it)",
        changes,
        f"{encoder or 'кодировщик'} читает по-английски; не латиницей написано "
        + ", ".join(f"{percent_ru(share, 0)} обучающих строк ветки {name}" for name, share in told.items()),
    )


def _below_the_baseline(history: History) -> Illness | None:
    if history.results is None:
        return None
    told, russian = [], []
    for name, words in history.results.baseline.items():
        mine = history.results.test.get(name)
        if mine is None or mine.num_rows != words.num_rows:
            continue
        if not (0 <= words.accuracy <= 1 and 0 <= mine.accuracy <= 1):  # unmeasured, or edited by hand
            continue
        theirs, own = (round(found.accuracy * found.num_rows) for found in (words, mine))  # rows that each has right
        apart, either_wrong = theirs - own, 2 * mine.num_rows - theirs - own
        if apart > limit.BELOW_BASELINE_ROWS.value and apart > limit.BELOW_BASELINE.value * sqrt(either_wrong):
            told.append(
                f"{name}: {mine.accuracy:.1%} of {mine.num_rows} test rows, {words.name} has {words.accuracy:.1%} of the same"
            )
            russian.append(
                f"{name}: верны {percent_ru(mine.accuracy)} из {mine.num_rows} тестовых строк, у {words.name} — "
                f"{percent_ru(words.accuracy)} тех же строк"
            )
    if not told:
        return None
    training = history.config.training
    changes: dict[str, Any] = {} if history.config.system.wide_terms else {"system.wide_terms": 30_000}
    if training.ridge is None:
        changes["training.ridge"] = 0.1
    settings = f"; settings that let it count words as well: {listed(changes)}" if changes else ""
    return Illness(
        "below counted words",
        "; ".join(told),
        None,
        "what costs more should answer better: look whether the encoder reads the language and the domain, and cure what else "
        f"was found{settings}. As it is, counted words are the better and far cheaper system",
        changes,
        "; ".join(russian),
    )


def _never_answered(history: History) -> Illness | None:
    told, russian = [], []
    for name, kept in history.run.answers.items():
        silent = [
            (kept.labels[number], rows)
            for number, rows in _rows_of_classes(kept).items()
            if rows >= limit.NEVER_ANSWERED.value and number not in kept.answers
        ]
        if silent:
            more = len(silent) - 5
            first = ", ".join(f"{label!r} ({rows} rows)" for label, rows in silent[:5])
            told.append(f"{name}: {first}" + (f" and {more} more" if more > 0 else ""))
            first = ", ".join(f"«{label}» ({rows})" for label, rows in silent[:5])
            russian.append(f"{name}: {first}" + (f" и ещё {more}" if more > 0 else ""))
    if not told:
        return None
    changes = {} if history.config.training.class_weights == "balanced" else {"training.class_weights": "balanced"}
    weigh = f"; {listed(changes)}" if changes else ""
    return Illness(
        "class never answered",
        f"no test row was answered with {'; '.join(told)}",
        None,
        f"give these classes more rows, or merge them with the class that is answered instead (iai report names it){weigh}",
        changes,
        f"ни на одну тестовую строку не отвечено классом (в скобках — сколько у него строк): {'; '.join(russian)}",
    )


def _rows_of_classes(kept: KeptAnswers) -> dict[int, int]:
    return {number: kept.targets.count(number) for number in range(len(kept.labels))}


def _doubtful_labels(history: History) -> Illness | None:
    told, russian = [], []
    for name, kept in history.run.answers.items():
        if not kept.targets:
            continue
        right = torch.tensor(kept.targets) == torch.tensor(kept.answers)
        found = int(likely_mislabelled(torch.tensor(kept.confidence), torch.tensor(kept.given), right).sum())
        if found >= limit.DOUBTFUL_ROWS.value and found > limit.DOUBTFUL.value * len(kept.targets):
            told.append(f"{name}: {found} of {len(kept.targets)} test rows")
            russian.append(f"{name}: {found} из {len(kept.targets)} тестовых строк")
    if not told:
        return None
    return Illness(
        "labels look wrong",
        f"answered otherwise than labelled, with a confidence of 90 % or more: {'; '.join(told)}",
        None,
        f"read these rows first (iai report {history.run.folder} lists them): either their labels are wrong, and so are as "
        "many of the rows learnt from, or texts of two classes say the same",
        evidence_ru=f"ответ расходится с меткой при уверенности от 90 %: {'; '.join(russian)}",
    )


def _sure_of_anything(history: History) -> Illness | None:
    told, russian = [], []
    for name, kept in history.run.answers.items():
        sure = sum(
            answered and confidence >= limit.FOREIGN_CONFIDENCE.value
            for confidence, answered in zip(kept.foreign_confidence, kept.foreign_answered, strict=True)
        )
        if kept.foreign_confidence and sure > limit.FOREIGN.value * len(kept.foreign_confidence):
            told.append(f"{name}: {sure} of {len(kept.foreign_confidence)}")
            russian.append(f"{name}: {sure} из {len(kept.foreign_confidence)}")
    if not told:
        return None
    return Illness(
        "sure of any text",
        f"answered instead of refused, with a confidence of {limit.FOREIGN_CONFIDENCE.value:.0%} or more, of texts that are "
        f"nobody's business (keys hit at random, other languages): {'; '.join(told)}",
        None,
        "its confidence says nothing on such text. Train it beside another branch, whose rows then show it what it does not "
        "know, or give a branch of everything else; and ask it only what it was trained for",
        evidence_ru=f"на ничьи тексты (случайные клавиши, другие языки) отвечено, а не отказано, с уверенностью от "
        f"{percent_ru(limit.FOREIGN_CONFIDENCE.value, 0)}: {'; '.join(russian)}",
    )


LOOKS: tuple[Look, ...] = (
    _below_the_baseline,
    _never_answered,
    _doubtful_labels,
    _sure_of_anything,
)
