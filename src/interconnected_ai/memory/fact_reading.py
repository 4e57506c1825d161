"""Which words of a message its author says of themselves and means: no quotation, pasted text, report, condition or fiction."""

import re
from collections.abc import Iterator

from interconnected_ai.text import sentences

_LONGEST_READ = 20_000  # characters: who pastes a book into a chat says nothing of themselves in its middle
_LONGEST_SENTENCE = 600
_PLACES = (
    re.compile(r"^[ \t]*>.*$", re.MULTILINE),
    re.compile(r"```.*?(?:```|\Z)", re.DOTALL),
    re.compile(r"`[^`\n]*`"),
)
# A quotation of three words and more is somebody's sentence; a shorter one is a name.
_QUOTED = re.compile(r"«[^»\n]*»|“[^”\n]*”|„[^“”\n]*[“”]|\"[^\"\n]*\"|(?<!\w)'(?=[^'\n]* [^'\n]* )[^'\n]*'(?!\w)")
_PASTED = re.compile(
    r"^[ \t]*(?:subject|тема|from|от кого)[ \t]*:|\b(?:best|kind|warm) regards\b|\byours (?:sincerely|truly|faithfully)\b"
    r"|\bdear (?:sir|madam|mr|mrs|ms|hiring|customer|team)\b|\bс уважением\b|\bуважаем(?:ый|ая|ые)\b|\bto whom it may concern\b",
    re.IGNORECASE | re.MULTILINE,
)
# A letter that is shown: a salutation or a head, and a close.
_HEADED = re.compile(
    r"^[ \t]*(?:to|cc|sent|date|dear|hi|hello|кому|дата|здравствуйте|добрый день)\b", re.IGNORECASE | re.MULTILINE
)
_SIGNED = re.compile(
    r"^[ \t]*(?:regards|sincerely|best wishes|yours|cheers|искренне|всего доброго)\b", re.IGNORECASE | re.MULTILINE
)
# What follows such a request is material to work on, to the end of the message.
_MATERIAL = re.compile(
    r"(?:\b(?:translate|proofread|rewrite|rephrase|paraphrase|summari[sz]e|correct|fix|improve|edit|check|analy[sz]e|convert|classify|"
    r"переведи(?:те)?|перепиши(?:те)?|исправь(?:те)?|проверь(?:те)?|перефразируй(?:те)?|сократи(?:те)?|отредактируй(?:те)?|"
    r"проанализируй(?:те)?|улучши(?:те)?|разбери(?:те)?)\b[^:\n.!?]{0,200}[:\n]"
    r"|\b(?:how (?:do|would|can|to) (?:you |i |we )?(?:say|translate)|как (?:будет|сказать|перевести))\b"
    r"|\b(?:example|lyrics|quote|text|email|letter|message|sentence|headline|пример|цитата|текст|письмо|предложение|фраза|стих\w*|песн\w+)"
    r"\s*(?:reads?|says?|goes)?\s*:)[\s\S]*",
    re.IGNORECASE,
)
_SPOKEN = re.compile(
    r"^[ \t]*(?:\[[^\]\n]{0,60}\][ \t]*)?(?!(?:PS|P\.S|About me|Note|FYI|Btw|Info|Update|Reminder|Me|О себе|Справка|Факт|Кстати)\b)[A-ZА-ЯЁ][\w .-]{0,20}:\s.*$",
    re.MULTILINE,
)  # "Anna: I live …"
_CODE = re.compile(
    r"[{};]\s*$|^\s*(?:def|class|import|return|print|SELECT|INSERT|function|const|var|let)\b.*[(=;]|=>|\w\(\)"
)
_UNSURE = re.compile(
    r"\b(?:would|wouldn't|could|couldn't|i'd (?:be|have|rather|like|love)|might|maybe|perhaps|probably|possibly|imagine|suppose|supposedly|pretend|wish|as if|as though|"
    r"hypothetically|let's say|role-?play|act as|assuming|joking|kidding|just kidding|jk|lol|not sure|sometimes i feel|feels? like|"
    r"almost|nearly|practically|basically|in another life|someday|one day|dreamt|dreamed|dream(?:ing)? (?:of|that|about)|used to think|"
    r"in (?:the|this|that|my|a|his|her|our) (?:book|story|novel|film|movie|game|song|dream|play|scene|chapter|series|screenplay|poem|joke)|"
    r"(?:the|my|a) (?:character|protagonist|hero|narrator|persona|speaker|lyrics)|supposed to|at heart|horoscope|"
    r"бы|б|наверное|наверно|возможно|может|кажется|вроде|представь(?:те)?|предположим|допустим|якобы|будто|мол|дескать|"
    r"шучу|шутка|шутят|чуть не|чуть было|едва не|гороскоп|хотелось|мечта\w*|почти|типа|практически|снилось|приснилось|вдруг|когда-нибудь|"
    r"в (?:книге|фильме|песне|игре|романе|рассказе|сериале|сне|пьесе|моём романе|моей книге|стихах|анекдоте|этой песне|этом фильме)|"
    r"(?:персонаж|герой|героиня|геро[яю]|персонажа)\w*)\b",
    re.IGNORECASE,
)  # fmt: skip
_REPORTED = re.compile(
    r"\b(?<!i )(?<!i've )(?<!just )(?:said|says|saying|told|tells|claims?|claimed|thinks?|thought|believes?|wrote|writes|heard|asked|asks|assumes?|"
    r"insists?|quotes?|quoted|sings?|sang|according to|rumou?r|states?|mentioned|replied|answered|shouted|"
    r"сказал[аи]?|говорит|говорят|говорил[аи]?|написал[аи]?|пишет|пишут|утверждает|утверждают|думает|думают|считает|считают|спросил[аи]?|"
    r"спрашивает|ответил[аи]?|передал[аи]?|по словам|пёт|поёт|поется|поётся|слышал[аи]?|читал[аи]?|решил[аи], что я|уверен[аы]?|уверяет|цитирую)\b",
    re.IGNORECASE,
)  # fmt: skip
_CONDITION = re.compile(
    r"\b(?:if|unless|whether|in case|provided|when i|until i|before i|till|если|ли|пока не|прежде чем|как только|когда я|то есть если|чтобы)\b",
    re.IGNORECASE,
)
# Where a statement goes over into a question or a request: "I live in Riga, what should I see?"
_ASKING = (
    r"(?:what|what's|how|which|who|whom|where|when|why|can|could|should|would|will|is|are|do|does|did|any|shall|may|am|have|has|"
    r"please|suggest|recommend|help|tell|что|чего|как|какой|какая|какое|какие|какую|каких|где|куда|когда|зачем|почему|кто|кого|сколько|"
    r"можешь|можете|можно|стоит|надо ли|посоветуй(?:те)?|подскажи(?:те)?|помоги(?:те)?|есть ли|нужно ли)"
)
_REQUEST = re.compile(
    rf"(?:[,;:]|\s[-–—])\s*(?:so |and |but |then |и |а |но |так )?{_ASKING}\b.*$", re.IGNORECASE | re.DOTALL
)
_QUESTION = re.compile(rf"^(?:(?:so|and|but|well|ok|и|а|но|ну)\s+)?{_ASKING}\b", re.IGNORECASE)
_DIALECT = (
    (re.compile(r"\b(?:i'?m|i am|im|iam|i ’m)\b(?! i\b)", re.IGNORECASE), "I'm"),
    (re.compile(r"\b(?:i've|ive)\b", re.IGNORECASE), "I've"),
    (re.compile(r"\bdo ?n[o']?t\b|\bdo not\b", re.IGNORECASE), "don't"),
    (re.compile(r"\bcan't\b|\bcant\b|\bcannot\b|\bcan not\b", re.IGNORECASE), "can't"),
    (re.compile(r"\bisnt\b", re.IGNORECASE), "isn't"),
    (re.compile(r"\bwhats\b", re.IGNORECASE), "what's"),
)


def own_sentences(content: str) -> Iterator[str]:
    """The sentences of a message that its author says in earnest of how things are, contractions spelled one way.

    A sentence with a condition is given as far as the condition. When in doubt a sentence is left out: the log still has it.
    """
    content = content[:_LONGEST_READ].replace("’", "'")
    if _PASTED.search(content) or (_HEADED.search(content) and _SIGNED.search(content)):
        return
    content = _MATERIAL.sub(" ", without_quotations(content))
    content = _SPOKEN.sub(" ", content)
    for sentence in sentences(content):
        # of lines that end without a mark, each is read by itself
        for line in sentence.split("\n"):
            meant = _meant(line.strip())
            if meant:
                yield meant


def without_quotations(content: str) -> str:
    """A message without quoted lines and code."""
    for place in _PLACES:
        content = place.sub(" ", content)
    return content


def _meant(sentence: str) -> str:
    """What of a sentence is stated; "" when nothing surely is."""
    if not sentence or len(sentence) > _LONGEST_SENTENCE or _CODE.search(sentence):
        return ""
    if sentence.endswith("?"):
        stated = _REQUEST.sub("", sentence)
        if stated == sentence or _QUESTION.search(sentence):
            return ""
        sentence = stated
    sentence = _QUOTED.sub(lambda found: " " if found[0].count(" ") > 1 else found[0][1:-1], sentence)
    for pattern, spelled in _DIALECT:
        sentence = pattern.sub(spelled, sentence)
    if _UNSURE.search(sentence) or _REPORTED.search(sentence):
        return ""
    condition = _CONDITION.search(sentence)
    return sentence[: condition.start()].strip() if condition else sentence
