"""Which words of a message its author says of themselves and means: no quotation, pasted text, report, condition or fiction."""

import re
from collections.abc import Iterator

from interconnected_ai.memory.caseless import Caseless
from interconnected_ai.text import sentences

_LONGEST_READ = 20_000  # characters: who pastes a book into a chat says nothing of themselves in its middle
_LONGEST_SENTENCE = 600
# (what is not there without it, what is quoted or code)
_PLACES = (
    (">", re.compile(r"^[ \t]*>.*$", re.MULTILINE)),
    ("```", re.compile(r"```.*?(?:```|\Z)", re.DOTALL)),
    ("`", re.compile(r"`[^`\n]*`")),
)
# A quotation of three words and more is somebody's sentence; a shorter one is a name.
_QUOTED = re.compile(r"«[^»\n]*»|“[^”\n]*”|„[^“”\n]*[“”]|\"[^\"\n]*\"|(?<!\w)'(?=[^'\n]* [^'\n]* )[^'\n]*'(?!\w)")
_PASTED = Caseless(
    r"^[ \t]*(?:subject|тема|from|от кого)[ \t]*:|\b(?:best|kind|warm) regards\b|\byours (?:sincerely|truly|faithfully)\b"
    r"|\bdear (?:sir|madam|mr|mrs|ms|hiring|customer|team)\b|\bс уважением\b|\bуважаем(?:ый|ая|ые)\b|\bto whom it may concern\b",
    re.MULTILINE,
)
# A letter that is shown: a salutation or a head, and a close.
_HEADED = Caseless(r"^[ \t]*(?:to|cc|sent|date|dear|hi|hello|кому|дата|здравствуйте|добрый день)\b", re.MULTILINE)
_SIGNED = Caseless(r"^[ \t]*(?:regards|sincerely|best wishes|yours|cheers|искренне|всего доброго)\b", re.MULTILINE)
# What follows such a request is material to work on, to the end of the message.
_MATERIAL = Caseless(
    r"(?:\b(?:translate|proofread|rewrite|rephrase|paraphrase|summari[sz]e|correct|fix|improve|edit|check|analy[sz]e|convert|classify|"
    r"переведи(?:те)?|перепиши(?:те)?|исправь(?:те)?|проверь(?:те)?|перефразируй(?:те)?|сократи(?:те)?|отредактируй(?:те)?|"
    r"проанализируй(?:те)?|улучши(?:те)?|разбери(?:те)?)\b[^:\n.!?]{0,200}[:\n]"
    r"|\b(?:how (?:do|would|can|to) (?:you |i |we )?(?:say|translate)|как (?:будет|сказать|перевести))\b"
    r"|\b(?:example|lyrics|quote|text|email|letter|message|sentence|headline|пример|цитата|текст|письмо|предложение|фраза|стих\w*|песн\w+)"
    r"\s*(?:reads?|says?|goes)?\s*:"
    r"|\b(?:act as|pretend|role-?play|imagine (?:you|that you|i'?m|that i)|(?:write|tell|compose) (?:me )?(?:an?|the) (?:\w+ )?(?:story|poem|song|novel|scene|dialogue|"
    r"monologue|tale)|let's say|suppose (?:i|that|you)|you(?:'re| are) an? [^.!?\n]*\b(?:named|character|assistant|expert|pirate)|представь(?:те)?|притворись|побудь|"
    r"ролевая игра|(?:напиши|сочини|придумай) (?:мне )?(?:\w+ )?(?:рассказ|стих\w*|сказку|песню|диалог|сценарий|историю)|допустим|предположим|ты (?:пират|персонаж|актёр)))[\s\S]*",
)
_SPOKEN = re.compile(
    r"^[ \t]*(?:user|assistant|human|ai|bot|system)[ \t]*:\s.*$|^[ \t]*(?:\[[^\]\n]{0,60}\][ \t]*)?"
    # what no name holds: it is a remark that leads over to what follows
    r"(?![^:\n]*\b(?:for|to|of|about|you|a|an|the|up|my|me|is|are|with|in|on|from|that|this|it|help|please|need|quick|question|questions|context|background|situation|story|news|problem|issue|details?|thing|short|basically|"
    r"вопрос\w*|контекст|предыстория|ситуация|проблема|дело|новост\w*|вводные|просьба|немного|обо|мне|для|про|по|на|с|со|в|из|от|у|к|о|помоги\w*|подскажи\w*|посоветуй\w*|вводная|задача|короче|итак|история|данные|суть)\b)"
    r"(?!(?:I|We|My|Our|Я|Мы|У|Мой|Моя|Моё|Мои|Мне|Наш|Наша|Живу|Работаю|Запомни|Запомните|Помни|Учти|Учтите|Важно|Правило|Remember|Important|Rule|PS|P\.S|About me|Note|FYI|Btw|Info|Update|Reminder|Me|О себе|Справка|Факт|Кстати)\b)[A-ZА-ЯЁ][\w .-]{0,20}:\s.*$",
    re.MULTILINE,
)  # "Anna: I live …"
_CODE = re.compile(
    r"[{};]\s*$|^\s*(?:def|class|import|return|print|SELECT|INSERT|function|const|var|let)\b.*[(=;]|=>|\w\(\)"
)
# What makes a whole sentence fiction, doubt or mockery; a hedge that is of one clause is the clauses' own.
_UNSURE = Caseless(
    r"\b(?:imagine|suppose|supposedly|pretend|as if|as though|hypothetically|let's say|role-?play|act as|assuming|joking|kidding|jk|not sure|"
    r"don't know (?:if|whether|that|for sure)|^(?:i |we )?don't know|dunno|not that i|not saying|(?:i|we) doubt|wonder|sometimes i feel|(?<!when it )(?<!when he )(?<!when she )feels? like|in another life|dreamt|dreamed|dream(?:ing)? (?:of|that|about)|used to think|"
    r"in (?:the|this|that|my|a|his|her|our) (?:book|story|novel|film|movie|game|song|dream|play|scene|chapter|series|screenplay|poem|joke|article)|"
    r"(?:the|my|a) (?:character|protagonist|hero|narrator|persona|speaker|lyrics)|supposed to|or so (?:he|she|they|it|i'm|i am|i was)|at heart|horoscope|once upon a time|"
    r"представь(?:те)?|представляешь|предположим|допустим|якобы|будто|мол|дескать|шучу|шутка|шутят|гороскоп(?!у)|снилось|приснилось|"
    r"не то чтобы|не скажу|не уверен[аы]?|не знаю|сомневаюсь|как говорится|как поётся|ни за что не|ролевая|"
    r"в (?:книге|фильме|песне|игре|романе|рассказе|сериале|сне|пьесе|моём романе|моей книге|стихах|анекдоте|этой песне|этом фильме|статье)|"
    r"(?:персонаж|герой|героиня|геро[яю]|персонажа)\w*)\b"
    r"|^(?:пусть|чтоб)\b|^(?:oh,? (?:sure|great|yeah|right|wow)|yeah,? right|sure,? because|great,? because|wow,? (?:great|i)|of course i just)\b"
    r"|^(?:ага|ну да|да уж|ну конечно|отлично|прекрасно|чудесно|супер|ой)[, ]+(?:прям|прямо|просто|я же|я ж|конечно|всю жизнь|а то)\b",
)  # fmt: skip
_REPORTED = Caseless(
    r"\b(?<!i )(?<!i've )(?<!just )(?:said|says|saying|told|tells|claims?|claimed|thinks?|thought|believes?|wrote|writes|heard|asked|asks|assumes?|"
    r"insists?|quotes|quoted|(?:sings?|sang)(?! (?:in|with|at|along)\b)|according to|rumou?r|states?(?= that\b)|mentioned|replied|answered|shouted|"
    r"сказал[аи]?|говор(?:ит|ят|ил[аи]?)(?! (?:по[- ]|на (?!что)|свободно|немного|только))|написал[аи]?(?! заявлени)|пишет|пишут|утверждает|утверждают|думает|думают|считает|считают|спросил[аи]?|"
    r"спрашивает|ответил[аи]?|передал[аи]?|по словам|пёт|поёт|поется|поётся|слышал[аи]?|(?:про)?читал[аи]?,? что|решил[аи], что я|(?<!не )уверен[аы]?, что|уверяет|обещает|рассказал[аи]?|рассказывал[аи]?|написано|сказано|указано|кажется|цитирую)\b",
)  # fmt: skip
# "and she goes: …"
_GOES = re.compile(
    r"\b(?:he|she|they|mum|mom|dad|my \w+)(?:'s| is| was| were)? (?:goes|go|went|like)(?= ?:)", re.IGNORECASE
)
_BOUNDARY = re.compile(r"[,;—:()]|\s(?:but|and|но|а|и)\s", re.IGNORECASE)
# Whose word about one's health is taken for one's own.
_DOCTOR = Caseless(
    r"\b(?:my|the) (?:doctors?|gp|dentist) (?:says?|said|told me|thinks?)(?: that)?\b|\bврачи? (?:говор[ия]т|сказал[аи]?)(?:,? что)?(?:,|\b)",
)
# Who says again what was said before says it, and who tells what a doctor found.
_REMINDED = Caseless(
    r"(?:\bя (?:(?:уже|же|ж|ведь|вроде|тебе|вам|как-то|раньше) )*|^(?:(?:уже|же|ж|ведь|тебе|вам) )+)(?:говорил[аи]?|сказал[аи]?|писал[аи]?|упоминал[аи]?|предупреждал[аи]?|рассказывал[аи]?)(?: (?:уже|же|тебе|вам|раньше|выше|как-то|вчера))*,? что\b(?! (?:он|она|они|ты|вы)\b)"
    r"|\bi (?:was|got|'ve been|have been) (?:just |recently )?told(?: that)?(?= i (?:have|'ve|am|'m)\b| i've\b| i'm\b)"
    r"|\b(?:напомню|напоминаю|предупреждаю|предупрежу|сообщаю|уточню|уточняю|скажу сразу|сразу скажу|добавлю|забыл[аи]? (?:сказать|добавить|упомянуть|написать|предупредить)|имейте? в виду|учти(?:те)?|знай(?:те)?|важно|дело в том|"
    r"хочу (?:сказать|добавить|напомнить|уточнить)|хотел[аи]? (?:сказать|добавить|напомнить|уточнить)|надо сказать|стоит (?:сказать|упомянуть)|"
    r"не помню,? говорил[аи]? ли(?: я)?|кажется,? (?:я )?(?:уже )?(?:говорил[аи]?|писал[аи]?)),? что\b",
)
_CONDITION = Caseless(
    r"\b(?:if|unless|whether|in case|provided|when i|until i|before i(?! (?:became|retrained|moved|had|got|retired|switched|started|met|quit|left|married|came|changed|went|turned|found)\b)|till|если|ли|пока не|прежде чем|как только|когда я|то есть если)\b(?! что\b)",
)
# Where a statement goes over into a question or a request: "I live in Riga, what should I see?"
_ASKING = (
    r"(?:what|what's|how|which|who|whom|where|when|why|can|could|should|would|will|is|are|do|does|did|any|shall|may|am|have|has|"
    r"please|suggest|recommend|help|tell|has|need|что|чего|чему|чем|чём|кем|ком|кому|как|какой|какая|какое|какие|какую|каких|где|куда|когда|зачем|почему|кто|кого|сколько|"
    r"можешь|можете|можно|стоит|надо ли|посоветуй(?:те)?|подскажи(?:те)?|помоги(?:те)?|есть ли|нужно ли)"
)
_REQUEST = re.compile(
    rf"(?:[,;:]|\s[-–—])\s*(?:so |and |but |then |и |а |но |так |ну )?(?:(?:о|об|в|на|с|со|за|из|от|до|для|по|у|к|при|for|at|in|on|with|about|from|to|by|not) )?{_ASKING}\b.*$"
    r"|,\s*[^,?]{0,60}(?<!\w)(?:можно|нельзя|стоит|нужно|надо|норм|опасно|вредно|подойд[её]т|поможет|безопасно)(?!\w)[^,]*$"
    r"|,\s*(?:any )?(?:ideas?|tips|advice|suggestions?|recommendations?|thoughts|recipes?)\b.*$"
    r"|\s(?:(?:can|could|would|will) you|any (?:tips|ideas?|advice|suggestions?|recommendations?|thoughts)|(?:what|how) (?:should|can|do|would|could) (?:i|we)|"
    r"подскажите|посоветуйте|подскажи|посоветуй|что делать|как быть|что посоветуе(?:те|шь))\b.*$",
    re.IGNORECASE | re.DOTALL,
)
_QUESTION = re.compile(rf"^(?:(?:so|and|but|well|ok|и|а|но|ну)\s+)?{_ASKING}\b", re.IGNORECASE)
_LATIN = re.compile("[A-Za-z]")
_OF_CODE = re.compile("[{};(=]")  # without one of them nothing is code
_DIALECT = (
    (Caseless(r"\b(?:i'?m|i am|im|iam|i ’m)\b(?! i\b)"), "I'm"),
    (Caseless(r"\b(?:i've|ive)\b"), "I've"),
    (Caseless(r"\bdo ?n[o']?t\b|\bdo not\b"), "don't"),
    (Caseless(r"\bcan't\b|\bcant\b|\bcannot\b|\bcan not\b"), "can't"),
    (Caseless(r"\bisnt\b"), "isn't"),
    (Caseless(r"\bwhats\b"), "what's"),
    (Caseless(r"\bwe are\b"), "we're"),
)


_LINE = re.compile(r"\n|(?<=[!?])\s+(?=[a-zа-яё])")


def own_sentences(content: str) -> Iterator[str]:
    """The sentences of a message that its author says in earnest of how things are, contractions spelled one way.

    A sentence with a condition is given as far as the condition. When in doubt a sentence is left out: the log still has it.
    """
    content = content[:_LONGEST_READ].replace("’", "'")
    if _PASTED.is_in(content) or (_SIGNED.is_in(content) and _HEADED.is_in(content)):
        return
    content = _MATERIAL.sub(" ", without_quotations(content))
    if ":" in content:
        content = _SPOKEN.sub(" ", content)
    for sentence in sentences(content):
        # of lines that end without a mark, each is read by itself
        for line in _LINE.split(sentence):
            meant = _meant(line.strip())
            if meant:
                yield meant


def without_quotations(content: str) -> str:
    """A message without quoted lines and code."""
    for sign, place in _PLACES:
        if sign in content:
            content = place.sub(" ", content)
    return content


def _meant(sentence: str) -> str:
    """What of a sentence is stated; "" when nothing surely is."""
    if not sentence or len(sentence) > _LONGEST_SENTENCE:
        return ""
    if _OF_CODE.search(sentence) and _CODE.search(sentence):
        return ""
    if sentence.endswith("?"):
        stated = _REQUEST.sub("", sentence)
        if stated == sentence or _QUESTION.search(sentence):
            return ""
        sentence = stated
    sentence = _QUOTED.sub(lambda found: " " if found[0].count(" ") > 1 else found[0][1:-1], sentence)
    if _LATIN.search(sentence):
        for pattern, spelled in _DIALECT:
            sentence = pattern.sub(spelled, sentence)
    if _UNSURE.is_in(sentence):
        return ""
    sentence = _DOCTOR.sub("", sentence)
    if "что" in sentence or "told" in sentence:
        sentence = _REMINDED.sub("", sentence)
    reported = _REPORTED.search(sentence)
    if reported is None and ":" in sentence:
        reported = _GOES.search(sentence)
    if reported:
        # what stands before the clause that reports is still the author's own
        boundary = max((found.start() for found in _BOUNDARY.finditer(sentence, 0, reported.start())), default=0)
        sentence = sentence[:boundary].strip()
    condition = _CONDITION.search(sentence)
    return sentence[: condition.start()].strip() if condition else sentence
