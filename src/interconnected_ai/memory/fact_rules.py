"""Sentences in the first person, Russian and English, as facts: rules by pattern, no model.

A rule gives a relation, and says whether one subject has one value of it (a newer one then supersedes the older).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from interconnected_ai.text import normalize, sentences

# Where a value ends: a mark, or a word that begins another thought.
_END = r"(?=\s*(?:[.,;:!?…()\n]|\s[-–—]\s|\b(?:and|but|because|so|which|who|since|when|while|although|though|if|и|а|но|потому|так как|поэтому|который|которая|которые|когда|если|хотя|чтобы)\b|$))"  # fmt: skip
_VALUE = r"(?P<value>[^.,;:!?…()\n]{2,80}?)" + _END
_SENTENCE = r"(?P<value>[^!?…\n]{3,200})"
_NAMED = r"(?P<value>[A-ZА-ЯЁ][\w’'-]*(?:\s+[A-ZА-ЯЁ][\w’'-]*){0,2})"
_KIN = (
    "wife husband son daughter mother mom father dad brother sister friend girlfriend boyfriend partner boss colleague dog cat "
    "pet roommate neighbor neighbour teacher doctor grandmother grandfather uncle aunt cousin company team project"
)
_KIN_RU = (
    "жен[ауые] муж[а]? сын[а]? доч[ькюери]+ мам[ауы] пап[ауы] брат[а]? сестр[ауы] друг[а]? подруг[ауи] собак[ауи] кот[а]? кошк[ауи] "
    "пёс|пса|пес начальник[а]? коллег[ауи] врач[а]? бабушк[ауи] дедушк[ауи] дяд[яюи] тёт[яюи]|тет[яюи] компани[яюи] проект[а]? команд[ауы]"
)


@dataclass(frozen=True, slots=True)
class Statement:
    """A fact before it is stored. is_single: a subject has one value of this relation at a time."""

    subject: str
    relation: str
    value: str
    kind: str = "fact"
    is_single: bool = False


@dataclass(frozen=True, slots=True)
class _Rule:
    relation: str
    pattern: re.Pattern[str]
    kind: str = "fact"
    is_single: bool = False


def _rule(relation: str, pattern: str, *, kind: str = "fact", single: bool = False) -> _Rule:
    return _Rule(relation, re.compile(pattern, re.IGNORECASE), kind, single)


def _named(relation: str, pattern: str, *, single: bool = True) -> _Rule:
    """A value that is a name keeps its capital letter, so only the words before it are compared without case."""
    return _Rule(relation, re.compile(f"(?i:{pattern}){_NAMED}"), "fact", single)


_I, _YA = r"\bi(?:'m| am| ?m)\b", r"(?<![\w-])я\b"
_RULES = (
    # names
    _named("name", r"\bmy name(?:'s| is)\s+", single=True),
    _named("name", r"(?:\bi(?:'m| am) called|(?:please |just )?\bcall me)\s+", single=True),
    _named("name", r"(?<![\w-])меня зовут\s+", single=True),
    _named("name", r"(?<![\w-])(?:мо[её] имя|моя фамилия)\s*[-–—:]?\s*", single=True),
    # homes, work, age
    _rule("lives in", rf"\bi(?:'m| am)? (?:now |currently |still )?(?:live|living|reside|based) (?:in|at|near) {_VALUE}", single=True),
    _rule("lives in", rf"\bi(?:'ve| have)? (?:just |recently )?moved (?:in)?to {_VALUE}", single=True),
    _rule("lives in", rf"{_YA}(?: сейчас| теперь| уже)? (?:живу|проживаю) (?:теперь |сейчас )?(?:в|во|на|под) {_VALUE}", single=True),
    _rule("lives in", rf"{_YA}(?: недавно| только что)? (?:переехал|переехала|перебрался|перебралась) (?:жить )?(?:в|во|на) {_VALUE}", single=True),
    _rule("comes from", rf"\bi(?:'m| am| come) (?:originally )?from {_VALUE}", single=True),
    _rule("comes from", rf"{_YA}(?: сам| сама| родом)? из {_VALUE}", single=True),
    _rule("works at", rf"\bi(?:'m| am)? (?:now |currently )?work(?:ing)? (?:at|for) {_VALUE}", single=True),
    _rule("works at", rf"{_YA}(?: сейчас| теперь)? работаю (?:сейчас |теперь )?(?:в|во|на) {_VALUE}", single=True),
    _rule("works as", rf"\bi(?:'m| am)? (?:now |currently )?work(?:ing)? as (?:an? |the )?{_VALUE}", single=True),
    _rule("works as", rf"{_YA}(?: сейчас| теперь)? работаю (?P<value>[а-яё-]+(?:ом|ем|ём|ой|ей|ером|истом)(?: [а-яё-]+)?){_END}", single=True),
    _rule("works as", rf"{_YA} по профессии {_VALUE}", single=True),
    _rule("age", r"\bi(?:'m| am) (?P<value>\d{1,3})(?: years? old| y\.?o\.?\b|(?=[.,!]|$))", single=True),
    _rule("age", r"(?<![\w-])мне (?:сейчас |уже |недавно исполнилось )?(?P<value>\d{1,3}) (?:лет|год|года)\b", single=True),
    _rule("birthday", rf"\bmy birthday(?:'s| is)(?: on)? {_VALUE}", single=True),
    _rule("birthday", rf"\bi was born (?:on|in) {_VALUE}", single=True),
    _rule("birthday", rf"(?<![\w-])мой день рождения\s*[-–—]?\s*{_VALUE}", single=True),
    _rule("birthday", rf"{_YA} родил(?:ся|ась) {_VALUE}", single=True),
    # tastes; what is liked no more answers to what was liked, see `opposite_of`
    _rule("dislikes", rf"\bi (?:really |absolutely |just )?(?:hate|dislike|detest|can't stand|cannot stand) {_VALUE}", kind="preference"),
    _rule("dislikes", rf"\bi (?:don't|do not|no longer|never) (?:really |actually )?(?:like|love|enjoy) {_VALUE}", kind="preference"),
    _rule("dislikes", rf"{_YA}(?: больше| совсем| очень)? (?:не (?:люблю|перевариваю)|ненавижу|терпеть не могу) {_VALUE}", kind="preference"),
    _rule("dislikes", rf"(?<![\w-])мне (?:больше |совсем )?не нрав[ия]тся {_VALUE}", kind="preference"),
    _rule("likes", rf"\bi (?:really |absolutely |just |also |do )?(?:like|love|enjoy|adore) {_VALUE}", kind="preference"),
    _rule("likes", rf"\bi(?:'m| am) (?:really |very )?(?:fond of|a (?:big |huge )?fan of|into|crazy about) {_VALUE}", kind="preference"),
    _rule("likes", rf"{_YA}(?: очень| больше всего| просто| тоже)? (?:люблю|обожаю) {_VALUE}", kind="preference"),
    _rule("likes", rf"(?<![\w-])мне (?:очень |тоже )?нрав[ия]тся {_VALUE}", kind="preference"),
    _rule("prefers", rf"\bi(?:'d| would)? (?:really |usually |generally )?prefer {_VALUE}", kind="preference"),
    _rule("prefers", rf"{_YA}(?: обычно)? предпочитаю {_VALUE}", kind="preference"),
    _rule("allergic to", rf"\bi(?:'m| am) (?:severely |badly )?allergic to {_VALUE}"),
    _rule("allergic to", rf"(?<![\w-])у меня (?:сильная )?аллергия на {_VALUE}"),
    # instructions
    _rule("instruction", rf"(?:^|[.!?,]\s*)(?P<whole>(?:please,? |and )?(?:always|never|from now on,?|remember (?:that|to)|don't forget|keep in mind|make sure)\b{_SENTENCE})", kind="instruction"),
    _rule("instruction", rf"(?:^|[.!?,]\s*)(?P<whole>(?:пожалуйста,? )?(?:всегда|никогда|впредь|отныне|с этого момента|запомни(?:те)?|не забудь(?:те)?|не забывай(?:те)?|имей(?:те)? в виду|учти(?:те)?)(?![\w-]){_SENTENCE})", kind="instruction"),
    # plans and decisions
    _rule("decided", rf"\b(?:i|we)(?:'ve| have)? (?:finally |just )?(?:decided|chosen|agreed) (?:to |on |that )?{_VALUE}"),
    _rule("decided", rf"(?<![\w-])(?:я|мы)(?: всё-таки| все-таки| наконец)? (?:решил|решила|решили|договорились|выбрал|выбрала|выбрали)(?:,? что)? {_VALUE}"),
    _rule("plans", rf"\bi(?:'m| am) (?:going|planning|hoping) to {_VALUE}"),
    _rule("plans", rf"\bi plan to {_VALUE}"),
    _rule("plans", rf"{_YA}(?: тоже| скоро)? (?:собираюсь|планирую|хочу) {_VALUE}"),
    _rule("deadline", rf"\b(?:my|our|the) deadline(?:'s| is)(?: on| by)? {_VALUE}", single=True),
    _rule("deadline", rf"(?<![\w-])(?:срок|дедлайн)(?: сдачи)?\s*[-–—:]?\s*(?:до )?{_VALUE}", single=True),
    # possessions
    _rule("has", rf"\bi(?:'ve got| have)(?: got)? (?:an?|two|three|four|five|\d+) {_VALUE}"),
    _rule("has", rf"(?<![\w-])у меня есть {_VALUE}"),
)  # fmt: skip
# "my favourite film is …", "my dog is called …": the relation holds what it is about.
_FAVOURITE = re.compile(
    rf"\bmy (?:all-time )?favou?rite (?P<what>[\w ]{{2,30}}?)(?:'s| is| are) {_VALUE}", re.IGNORECASE
)
_FAVOURITE_RU = re.compile(
    rf"(?<![\w-])мо[йяеёи]+ любим\w+ (?P<what>[а-яё ]{{2,30}}?)\s*(?:[-–—]|это|\bназывается)\s*{_VALUE}", re.IGNORECASE
)
_CALLED = re.compile(
    rf"(?i:\bmy (?P<who>{'|'.join(_KIN.split())})(?:'s name is| is (?:called|named)|,? named)\s+){_NAMED}"
)
_CALLED_RU = re.compile(rf"(?i:(?<![\w-])мо\w+ (?P<who>{'|'.join(_KIN_RU.split())}) (?:зовут|называется)\s+){_NAMED}")
_EMPTY_VALUES = frozenset("it that this them him her you to do so one не это его её ее их тебя вас так".split())
_OPPOSITES = {"likes": "dislikes", "dislikes": "likes"}
_PLACES = (re.compile(r"^>.*$", re.MULTILINE), re.compile(r"```.*?(?:```|\Z)", re.DOTALL))
_LONGEST_READ = 20_000  # characters: who pastes a book into a chat says nothing of themselves in its middle


def statements(content: str, subject: str) -> Iterator[Statement]:
    """The facts that a message in the first person states, in the order of its sentences, each once.

    Quoted lines (`> …`, as recalled memory is rendered) and code are not read: what was recalled is never learnt again.
    """
    seen: set[Statement] = set()
    for sentence in sentences(without_quotations(content[:_LONGEST_READ])):
        if len(sentence) > 600 or sentence.endswith("?"):
            continue
        for statement in _in_sentence(sentence.replace("’", "'"), subject):
            if statement not in seen:
                seen.add(statement)
                yield statement


def without_quotations(content: str) -> str:
    """A message without quoted lines and code blocks."""
    for place in _PLACES:
        content = place.sub(" ", content)
    return content


def opposite_of(relation: str) -> str | None:
    """The relation that says the contrary of this one."""
    return _OPPOSITES.get(relation)


def _in_sentence(sentence: str, subject: str) -> Iterator[Statement]:
    taken: list[tuple[int, int]] = []
    for rule in _RULES:
        for match in rule.pattern.finditer(sentence):
            value = _clean(match.groupdict().get("whole") or match["value"])
            span = match.span("value")
            # "I don't like X" must not be "like X" as well: the first rule that takes a stretch of words keeps it
            if value and not any(start < span[1] and span[0] < end for start, end in taken):
                taken.append(span)
                yield Statement(subject, rule.relation, value, rule.kind, rule.is_single)
    for pattern in (_FAVOURITE, _FAVOURITE_RU):
        for match in pattern.finditer(sentence):
            value = _clean(match["value"])
            if value:
                yield Statement(subject, f"favourite {normalize(match['what']).strip()}", value, "preference", True)
    for pattern in (_CALLED, _CALLED_RU):
        for match in pattern.finditer(sentence):
            yield Statement(subject, f"{normalize(match['who'])} is called", _clean(match["value"]), "fact", True)


def _clean(value: str) -> str:
    value = " ".join(value.split()).strip(" \"'«»“”.,;:-–—")
    return "" if normalize(value) in _EMPTY_VALUES else value
