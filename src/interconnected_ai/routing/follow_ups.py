"""Whether a request goes on with what was spoken of before ("and in Python 2?", "а если пусто?"), by its words alone."""

import re

from interconnected_ai.text import words

_FEWEST_WORDS = 3  # with fewer, nothing of its own is asked
_MOST_WORDS = 12  # with more, it says itself what it is about

# What a request begins with that goes on.
_BEGINNINGS = re.compile(
    r"\W*(?:and|but|or|so|then|also|why|because|what about|how about|what if|what else|anything else|instead|again|more|else|"
    r"another|(?:tell|show|give) me (?:more|another)|same|ok|okay|yes|yeah|no|not|sorry|hm+|wait|which one|i mean|i meant|"
    r"can you (?:explain|elaborate|rephrase|repeat|show)|explain|elaborate|shorter|longer|simpler|continue|go on|for example|"
    r"an? example|example|in other words|"
    r"а|и|но|или|либо|тогда|потом|ещё|еще|также|тоже|теперь|зачем|почему|потому|что если|что ещё|что еще|что будет|"
    r"как насчёт|как насчет|да|нет|не|ок|окей|хорошо|хм+|стоп|подожди|погоди|извини|объясни|поясни|подробнее|короче|проще|"
    r"дальше|продолжай|продолжи|повтори|например|пример|(?:дай|покажи|приведи) (?:пример|друг\w+|ещё|еще)|иначе|по-другому|"
    r"другими словами|то есть|значит|я имел\w* в виду|можешь (?:сказать|повторить|объяснить|показать))\b"
)
# Words that stand for what was said before.
_POINTERS = frozenset(
    "it its that this these those them they their both former latter first last second third other one ones previous above "
    "below such same instead there "
    "это этого этому этим этом этот эта эту этой эти этих этими тот того тому тем та ту те тех они их им ими оно него нему ним "
    "него неё нее ней них ним его её ее ему ей такой такое такая такие такого таком там туда тогда тоже также так "
    "последний последнее последняя предыдущий предыдущее первый второй первое второе".split()
)


def is_follow_up(text: str) -> bool:
    """Whether a request by itself asks nothing, but goes on: it is very short, begins so, or points back and is not long.

    English and Russian; what is in another language is none unless it is very short. Threads: any number.
    """
    found = words(text)
    if len(found) < _FEWEST_WORDS:
        return True
    if len(found) > _MOST_WORDS:
        return False
    return bool(_BEGINNINGS.match(text.casefold())) or not _POINTERS.isdisjoint(found)
