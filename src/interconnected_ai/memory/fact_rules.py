"""Sentences in the first person, Russian and English, as facts: rules by pattern, no model.

A rule gives a relation, and says whether one subject has one value of it (a newer one then supersedes the older) and whether
it ends what was said before. Which sentences may be read at all is `fact_reading`'s, words are `fact_words`'.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from interconnected_ai.memory.fact_reading import own_sentences
from interconnected_ai.memory.fact_words import (
    EMPTY_BEGINNINGS,
    EMPTY_VALUES,
    IDLE_ACTIONS,
    IDLE_OBJECTS,
    ILLNESSES,
    ILLNESSES_RU,
    KIN,
    KIN_RU,
    LANGUAGES,
    NO_ALLERGENS,
    NO_POSSESSIONS,
    NOT_FOOD,
    NOT_NAMES,
    NOT_PLACES,
    PLACE_WORDS,
    PROFESSIONS,
    PROFESSIONS_RU,
)
from interconnected_ai.text import normalize

Ends = Literal["", "value", "relation"]


@dataclass(frozen=True, slots=True)
class Statement:
    """A fact before it is stored. is_single: a subject has one value of this relation at a time.

    ends: "value" says that this holds no more, "relation" that no value of the relation does.
    """

    subject: str
    relation: str
    value: str
    kind: str = "fact"
    is_single: bool = False
    ends: Ends = ""


@dataclass(frozen=True, slots=True)
class _Rule:
    relation: str
    pattern: re.Pattern[str]
    kind: str = "fact"
    is_single: bool = False
    ends: Ends = ""
    is_russian: bool = False


# Where a value ends: a mark, or a word that begins another thought.
_END = (
    r"(?=\s*(?:[.,;:!?…()\n]|\s[-–—]\s|\b(?:and (?:i|i'm|we|my|it|so|then|am|work|live|have|love|hate|can|want|always|also)|but|because|so|"
    r"which|who|since|when|while|although|though|after|before|until|"
    r"и (?:я|мы|у|мне|мой|моя|очень|ещё|еще|работаю|живу|учусь|люблю|хочу|не|теперь|это)|и (?=\w+(?:ю|ю́|ла|лся|лась)\b)|а|но|потому|так как|поэтому|который|которая|которые|которую|"
    r"котором|когда|хотя|где|пока|зато)\b|$))"
)
_VALUE = r"(?P<value>[^.,;:!?…()\n]{2,80}?)" + _END
_PLACE = (
    r"(?P<value>[^.,;:!?…()\n]{2,60}?)"
    r"(?=\s*(?:[.,;:!?…()\n]|\s[-–—]\s|$|\b(?:and|but|because|so|which|who|since|when|while|although|though|after|before|until|with|for|as|"
    r"now|currently|these days|nowadays|at the moment|right now|last|next|this|ago|already|anymore|any more|any longer|yesterday|today|"
    r"recently|originally|again|where|from|to|temporarily|permanently|too|in (?=\d|january|february|march|april|may|june|july|august|"
    r"september|october|november|december)|a (?:few|couple|week|month|year)|two|three|four|five|six|ten|about|almost|at (?:the|my)|by (?:train|myself)|"
    r"full-time|part-time|remotely|doing|most of|all my|"
    r"и|а|но|потому|так как|поэтому|который|которая|которые|котором|когда|хотя|где|с|со|вместе|уже|сейчас|теперь|пока|прошлым|прошлой|недавно|"
    r"вчера|сегодня|из|после|до|летом|весной|осенью|зимой|снова|опять|много|несколько|лет|год|года|третий|второй|пятый|первый|больше|"
    r"на (?=прошлой|этой|пятом|окраине)|в (?=прошлом|этом|\d|январе|феврале|марте|апреле|мае|июне|июле|августе|сентябре|октябре|ноябре|декабре)|"
    r"менеджером|инженером|врачом|учителем|удалённо|удаленно|неполный|полный|по|ради|около|почти|всю|всегда|тоже)\b|\s\d))"
)
_STUDY = _PLACE.replace("with|for|as|", "with|for|as|at|")  # "philosophy" of "philosophy at Leiden"
_NO_SUBJECT = (
    r"(?:for|hard|at|every|the|this|these|your|how|with|all|late|in|on|abroad|alone|together|online|a lot|my)\b"
)
_SENTENCE = r"(?P<value>[^!?…\n]{3,200})"
_NAME = r"(?P<value>[^\W\d_][\w'-]*(?:\s+[A-ZА-ЯЁ][\w'-]*){0,2})"
_PROPER = r"(?P<value>[A-ZА-ЯЁ][\w&'-]*(?:\s+(?:of\s+)?[A-ZА-ЯЁ\d][\w&'-]*){0,3})"

# Each word once: one that could be read in two ways would be tried in all of them, 2 ** n for n of them in a row.
_ADVERBS = (
    r"(?:(?:now|currently|still|also|just|really|actually|usually|mostly|both|originally|recently|only|already|finally|absolutely|quite|"
    r"very|so|personally|generally|do|totally|truly|deeply|simply|mainly|even|kinda|kind of|always|secretly|all|officially|"
    r"presently|either|proudly|happily|honestly|definitely|certainly|temporarily|severely|badly|mildly|highly|deathly|"
    r"here|btw|fyi|a bit|pretty|half|almost)\s+)*?"
)
_I = rf"(?:\b(?:I|we)\s+{_ADVERBS}|^{_ADVERBS}|\b(?:I|I'm|I've|we)\b[^.;!?]*?\s(?:and|but)\s+{_ADVERBS})"
_IM = rf"(?:\bI'm\s+{_ADVERBS}|\bwe(?:'re| are)\s+{_ADVERBS})"
_IM_OR_BARE = (
    rf"(?:\bI'm\s+{_ADVERBS}|\bwe(?:'re| are)\s+{_ADVERBS}|^{_ADVERBS}|\bI'm\b[^.;!?]*?\s(?:and|but)\s+{_ADVERBS})"
)
_DID = rf"(?:\b(?:I|we)\s+{_ADVERBS}|\b(?:I've|we've|I have|we have)\s+{_ADVERBS}|^{_ADVERBS}|\bI\b[^.;!?]*?\s(?:and|but|then)\s+{_ADVERBS})"
_ADVERBS_RU = (
    r"(?:(?:сейчас|теперь|уже|пока|недавно|только что|наконец|тоже|очень|просто|больше всего|обычно|ещё|еще|сам|сама|давно|вообще|снова|"
    r"опять|постоянно|действительно|всё-таки|все-таки|безумно|страшно|раньше всего|а|и|но|ну|кстати|в основном|временно|официально|"
    r"сильно|в общем|жутко|совсем|вчера|с детства|с мужем|с женой|с семьёй|мы|я)\s+)*?"
)
_YA = rf"(?:(?<![\w-])(?:я|мы)\s+{_ADVERBS_RU}|^{_ADVERBS_RU}|(?<=,)\s*{_ADVERBS_RU}(?=\w+(?:ю|у|ю́|юсь|усь)\b)|(?<![\w-])я\b[^.;!?]*?\sи\s+{_ADVERBS_RU})"
_PAST_YA = rf"(?:(?<![\w-])(?:я|мы)\s+{_ADVERBS_RU}|^{_ADVERBS_RU}|(?<![\w-])я\b[^.;!?]*?\s(?:и|а потом|потом)\s+{_ADVERBS_RU})"
_W = r"(?<![\w-])"
_NUMBER_RU = (
    r"(?:двадцать|тридцать|сорок|пятьдесят|шестьдесят|семьдесят|восемьдесят|восемнадцать|девятнадцать|семнадцать|шестнадцать|"
    r"пятнадцать|четырнадцать|тринадцать)(?:\s(?:один|два|три|четыре|пять|шесть|семь|восемь|девять))?"
)
_NUMBER = (
    r"(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|eighteen|nineteen|seventeen|sixteen|fifteen|fourteen|thirteen)"
    r"(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?"
)
_A = r"(?:an? |the )?"
_COUNT = r"(?:an?|one|two|three|four|five|six|\d+|some|my own|our own)"


def _alternatives(words: str) -> str:
    return "|".join(sorted(dict.fromkeys(words.split()), key=len, reverse=True))


_PROFESSION = rf"(?:{_alternatives(PROFESSIONS)})"
_PROFESSION_RU = rf"(?:{_alternatives(PROFESSIONS_RU)})"
_LANGUAGE = rf"(?:{_alternatives(LANGUAGES)})"
_LANGUAGE_RU = (
    r"(?:англ|рус|немец|француз|испан|итальян|португал|польск|чешск|украин|турец|араб|иврит|китай|япон|корей|грузин|армян|казах|"
    r"татар|греч|финск|шведск|норвеж|латын|латин|серб|болгар|хинди|эсперанто|голланд|нидерланд|башкир)[а-яё-]*"
)


def _rule(relation: str, pattern: str, *, kind: str = "fact", single: bool = False, ends: Ends = "") -> _Rule:
    return _Rule(relation, re.compile(pattern, re.IGNORECASE), kind, single, ends, _is_russian(pattern))


def _named(relation: str, pattern: str, value: str = _NAME, *, single: bool = True, ends: Ends = "") -> _Rule:
    """A value that is a name ends with its capital letters, so only the words before it are compared without case."""
    return _Rule(relation, re.compile(f"(?i:{pattern}){value}"), "fact", single, ends, _is_russian(pattern))


def _is_russian(pattern: str) -> bool:
    """Whether only Russian sentences can match: apart from what may be the value, a pattern is of one language."""
    for value in (_VALUE, _STUDY, _PLACE, _END):
        pattern = pattern.replace(value, "")
    return re.search("[а-яё]", pattern) is not None


_LIVE_IN = r"(?:in|at|near|outside|outside of|close to)\s+(?:the (?:city|town|village) of\s+)?"
_NO_MORE = r"\s+(?:anymore|any more|any longer|no more)\b"
_RULES = (
    # ends: they come first, since "no longer live in" must not be "live in" as well
    _rule("lives in", rf"\b(?:I|we) (?:no longer|used to) live (?:in|at|near|on) {_PLACE}", single=True, ends="value"),
    _rule("lives in", rf"\b(?:I|we) don't live (?:in|at|near|on) (?P<value>[^.,;!?\n]{{2,60}}?){_NO_MORE}", single=True, ends="value"),
    _rule("lives in", rf"{_DID}(?:moved|relocated)(?: away| out)? from (?P<value>[^.,;!?\n]{{2,40}}?)(?= to\b|\s*(?:[.,;!?]|$)| (?:last|and|in|this|two|after)\b)", single=True, ends="value"),
    _rule("lives in", rf"{_DID}moved (?:out of|away from) {_PLACE}", single=True, ends="value"),
    _rule("lives in", rf"{_DID}(?:moved|relocated)(?: back| over)? to [^.,;!?\n]{{2,40}}? from {_PLACE}", single=True, ends="value"),
    _rule("lives in", rf"{_W}(?:раньше|прежде|когда-то) (?:я )?(?:жил|жила|жили|проживал|проживала) (?:в|во|на|под) {_PLACE}", single=True, ends="value"),
    _rule("lives in", rf"{_W}я раньше (?:жил|жила) (?:в|во|на|под) {_PLACE}", single=True, ends="value"),
    _rule("lives in", rf"{_W}(?:больше|уже) не живу (?:в|во|на|под) {_PLACE}", single=True, ends="value"),
    _rule("lives in", rf"{_W}не живу больше (?:в|во|на|под) {_PLACE}", single=True, ends="value"),
    _rule("lives in", rf"{_PAST_YA}(?:переехал|переехала|переехали|перебрался|перебралась|перебрались|уехал|уехала)(?: жить)? (?:из|с|со) (?P<value>[^.,;!?\n]{{2,40}}?)(?= (?:в|во|на)\b|\s*(?:[.,;!?]|$))", single=True, ends="value"),
    _rule("lives in", rf"{_PAST_YA}(?:переехал|переехала|переехали)(?: жить)? (?:в|во|на) [^.,;!?\n]{{2,40}}? из {_PLACE}", single=True, ends="value"),
    _rule("lives in", r"^(?:в|во|на|под) (?P<value>[А-ЯЁ][^.,;!?\n]{1,40}?) (?:я |мы )?(?:больше|уже) не (?:живу|живём|живем)(?!\w)", single=True, ends="value"),
    _rule("works at", r"^(?:в|во|на) (?P<value>[^.,;!?\n]{2,40}?) (?:я )?(?:больше|уже) не работаю(?!\w)", single=True, ends="value"),
    _rule("works at", rf"\bI'm (?:not|no longer) working (?:at|for) (?:an? |the )?(?P<value>[^.,;!?\n]{{2,60}}?)(?:{_NO_MORE}|\s*(?:[.,;!]|$))", single=True, ends="value"),
    _rule("lives in", rf"\b(?:I'm|we're|we are) (?:not living|no longer living|no longer based) (?:in|at|near) (?P<value>[^.,;!?\n]{{2,60}}?)(?:{_NO_MORE}|\s*(?:[.,;!]|$))", single=True, ends="value"),
    _named("works at", rf"{_DID}(?:handed in (?:my|the) notice (?:at|to)|gave (?:my )?notice (?:at|to))\s+", _PROPER, ends="value"),
    _rule("works at", rf"{_PAST_YA}(?:написал|написала|подал|подала) заявление об (?:уходе|увольнении) (?:из|с|со) {_PLACE}", single=True, ends="value"),
    _rule("works at", rf"\b(?:I|we) (?:no longer|used to) work (?:at|for|in) {_PLACE}", single=True, ends="value"),
    _rule("works at", rf"\bI don't work (?:at|for|in) (?P<value>[^.,;!?\n]{{2,60}}?){_NO_MORE}", single=True, ends="value"),
    _rule("works at", rf"{_DID}(?:quit|left|lost|resigned from|gave up) (?:my|the) (?:old |current |day |previous )?(?:job|position|post|role) (?:at|with|in|for) {_PLACE}", single=True, ends="value"),
    _named("works at", rf"{_DID}(?:quit|resigned from|(?:was|got|been) (?:fired|laid off|let go) (?:from|by)|retired from)\s+", _PROPER, ends="value"),
    _rule("works at", rf"{_DID}(?:(?:quit|lost|left|gave up) (?:my|the) (?P<value>(?:old |current |day |previous )?job)(?! (?:at|with|in|for)\b)|(?P<whole>(?:was|got|been) (?:fired|laid off)|resigned|retired)(?=\s*(?:[.,;!]|$| last| this| in| yesterday| and)))", single=True, ends="relation"),
    _rule("works as", rf"\bI (?:no longer|used to) work as (?!(?:usual|well|before|always|of|soon|long|hard|if|such)\b){_A}{_PLACE}", single=True, ends="value"),
    _rule("works as", rf"\bI(?:'m no longer| used to be) (?:an? )(?P<value>(?:[\w-]+ ){{0,2}}{_PROFESSION})\b", single=True, ends="value"),
    _rule("works at", rf"{_W}(?:больше|уже) не работаю (?:в|во|на) {_PLACE}", single=True, ends="value"),
    _rule("works at", rf"{_W}раньше (?:я )?(?:работал|работала) (?:в|во|на) {_PLACE}", single=True, ends="value"),
    _rule("works at", rf"{_PAST_YA}(?:уволился|уволилась|ушёл|ушел|ушла) (?:из|с|со) (?!работы|отпуск|дом|школ)(?P<value>[^.,;!?\n]{{2,40}}?)(?=\s*(?:[.,;!?]|$)| (?:в|на|и|и|после|вчера|полгода|месяц|два|три|год)\b)", single=True, ends="value"),
    _rule("works at", rf"{_PAST_YA}(?P<value>уволился|уволилась|(?:ушёл|ушел|ушла|уволился|уволилась) с работы|(?:бросил|бросила|потерял|потеряла) работу)(?=\s*(?:[.,;!]|$| (?:вчера|на|в|и)\b))", single=True, ends="relation"),
    _rule("works at", rf"{_W}меня (?P<value>уволили|сократили)(?=\s*(?:[.,;!]|$| (?:вчера|на|в|и|с)\b))", single=True, ends="relation"),
    _rule("has", rf"{_DID}(?:sold|gave away|got rid of|scrapped|crashed and sold) (?:my|our|the) (?:old |beloved )?{_PLACE}", ends="value"),
    _rule("has", rf"\bI (?:no longer|used to) (?:have|own) (?:an? |the |my |any |two |three )?{_PLACE}", ends="value"),
    _rule("has", rf"\bI don't (?:have|own) (?:an? |the |my |any )?(?P<value>[^.,;!?\n]{{2,60}}?){_NO_MORE}", ends="value"),
    _rule("has", r"\b(?:my|our) (?P<value>dog|cat|puppy|horse|parrot|hamster|rabbit) (?:died|passed away|ran away)", ends="value"),
    _rule("has", rf"{_PAST_YA}(?:продал|продала|продали|подарил|подарила|отдал|отдала|избавился от|избавилась от) (?:свой |свою |свои |своего |наш |нашу |старую |старый |старое |своё )*(?P<value>[^.,;!?\n]{{2,40}}?)(?=\s*(?:[.,;!?]|$)| (?:и|за|в|на|после|вчера|другу|брату|ещё|сестре)\b)", ends="value"),
    _rule("has", rf"{_W}у меня больше нет {_PLACE}", ends="value"),
    _rule("has", rf"{_W}(?:наш|наша|мой|моя) (?P<value>собака|кошка|кот|пёс|пес|хомяк|попугай) (?:умер|умерла|сбежал|сбежала)", ends="value"),
    _rule("has", rf"{_DID}traded in (?:my|our) (?:old |beloved )?(?P<value>[\w' -]{{2,40}}?) (?:for|against)\b", ends="value"),
    _rule("has", r"\b(?:my|our) (?P<value>car|bike|bicycle|motorbike|motorcycle|scooter|laptop|phone|van|boat) (?:got|was|has been) (?:stolen|totalled|totaled|wrecked)\b", ends="value"),
    _rule("has", r"(?<![\w-])(?P<value>машину|велосипед|мотоцикл|самокат|скутер|ноутбук|телефон|лодку) (?:у меня |у нас )?(?:угнали|украли)(?!\w)", ends="value"),
    _rule("has", r"(?<![\w-])(?:у меня|у нас) (?:угнали|украли) (?P<value>машину|велосипед|мотоцикл|самокат|скутер|ноутбук|телефон|лодку)(?!\w)", ends="value"),
    # with a pronoun, or in the accusative: "Соседи продали" is of the neighbours
    _rule("has", r"^(?:свой |свою |старый |старую )?(?P<value>[а-яё-]{3,}) (?:я|мы) (?:уже |давно |недавно )?(?:продал|продала|продали)(?=\s*(?:[.,;!]|$))", ends="value"),
    _rule("has", r"^(?:свою |старую )?(?P<value>[а-яё-]{3,}[ую]) (?:уже |давно |недавно )?(?:продал|продала|продали)(?=\s*(?:[.,;!]|$))", ends="value"),
    _rule("likes", rf"{_PAST_YA}(?:разлюбил|разлюбила) {_VALUE}", kind="preference", ends="value"),
    _rule("likes", rf"\bI used to (?:really )?(?:like|love|enjoy|adore) {_VALUE}", kind="preference", ends="value"),
    _rule("likes", rf"{_W}(?:раньше (?:я )?|я раньше )(?:любил|любила|обожал|обожала) {_VALUE}", kind="preference", ends="value"),
    _rule("learning", rf"{_DID}(?:quit|stopped|gave up) (?:learning|studying) {_PLACE}", ends="value"),
    _rule("learning", rf"{_PAST_YA}(?:бросил|бросила|перестал|перестала) (?:учить|изучать) {_PLACE}", ends="value"),
    _rule("learning", rf"{_PAST_YA}(?:бросил|бросила|забросил|забросила) (?P<value>(?:уроки|занятия|курсы) [а-яё-]+){_END}", ends="value"),
    _rule("studies at", rf"{_DID}dropped out of (?!the (?:race|running|game)\b)(?:the )?{_PLACE}", single=True, ends="value"),
    _rule("diet", r"\bI(?:'m no longer| used to be) (?:an? )?(?:strict )?(?P<value>vegan|vegetarian|pescatarian)\b", ends="value"),
    _rule("diet", rf"{_W}я (?:больше не|уже не) (?P<value>веган\w*|вегетариан\w*)", ends="value"),
    _rule("relationship", rf"{_DID}(?:broke up|split up|parted ways|separated) (?:with|from) (?:my )?{_PLACE}", single=True, ends="relation"),
    _rule("relationship", rf"{_DID}(?:got |am |finally )?(?P<value>divorced)\b", single=True),
    _rule("relationship", rf"{_PAST_YA}(?:расстался|расстались|рассталась) (?:с|со) {_PLACE}", single=True, ends="relation"),
    _rule("relationship", rf"{_PAST_YA}(?P<value>развёлся|развелся|развелась|разведён|разведен|разведена)(?!\w)", single=True),
    # names
    _named("name", r"\b(?:my name(?:'s| is)|my names)\s+"),
    _named("name", r"(?:\bI'm called|(?:^|[,.!;]\s*)(?:please |just |you can |everyone can |friends )?call me|\b(?:everyone|everybody|people|friends) calls? me)\s+"),
    _named("name", r"(?:^|[.!,]\s*)(?:the name(?:'s| is)|I go by)\s+", r"(?P<value>[A-Z][a-z]+(?: [A-Z][a-z]+)?)(?=\s*(?:[.,!;]|$|\b(?:and|but)\b))"),
    _named("name", rf"{_W}(?:меня зовут|меня звать|зовут меня)\s+"),
    _named("name", rf"{_W}(?:зови(?:те)?|называй(?:те)?) меня\s+"),
    _named("name", rf"{_W}(?:мо[её] имя|моя фамилия)\s*[-–—:]?\s*"),
    _named("name", r"\b(?:hi|hello|hey|hiya|greetings)(?: there| all| everyone)?[,!. ]+I'm\s+", r"(?P<value>[A-Z][a-z]+(?: [A-Z][a-z]+)?)(?=\s*(?:[.,!]|$|\b(?:and|from|a|an|the)\b))"),
    _named("name", rf"{_W}(?:привет|здравствуйте|здравствуй|добрый день|всем привет)[,!. ]+(?:это |меня зовут |я )\s*", r"(?P<value>[А-ЯЁ][а-яё]+(?: [А-ЯЁ][а-яё]+)?)(?=\s*(?:[.,!]|$|\b(?:из|и)\b))"),
    # homes, work, age
    _rule("lives in", rf"{_I}(?:live|reside) {_LIVE_IN}{_PLACE}", single=True),
    _rule("lives in", rf"{_IM_OR_BARE}(?:living|residing|based|located|settled) {_LIVE_IN}{_PLACE}", single=True),
    _rule("lives in", rf"{_DID}(?:been living|lived) in (?P<value>[A-Z][\w-]+(?: [A-Z]\w+)?) (?:all my life|since)", single=True),
    _rule("lives in", rf"{_DID}(?:moved|relocated|resettled)(?: back| over| house| permanently)?(?: from [^.,;!?\n]{{2,40}}?)? (?:in)?to {_PLACE}", single=True),
    _rule("lives in", r"\b(?:I|we)(?:'ve| have)? (?:now |always )?call(?:ed)? (?P<value>[A-ZÀ-Ý][\w'-]+(?: [A-ZÀ-Ý][\w'-]+){0,2}) (?:my |our )?home\b", single=True),
    _named("lives in", r"\b(?:my|our) (?:flat|apartment|house|place) is (?:in|near)\s+", r"(?P<value>[A-ZÀ-Ý][\w'-]+(?: [A-ZÀ-Ý][\w'-]+){0,2})"),
    _named("lives in", r"(?<![\w-])(?:мой|наш) дом (?:теперь |сейчас )?(?:в|во|на|под)\s+", r"(?P<value>[А-ЯЁ][\w-]+(?: [А-ЯЁ][\w-]+)*)"),
    _rule("lives in", rf"{_YA}(?:снимаю|снимаем|арендую|арендуем) (?:[а-яё]+ )?(?:квартиру|комнату|дом|студию|жильё|жилье|домик|однушку|двушку) (?:в|во|на|под) (?!(?:центре|районе|выходные|аренду|сутки|неделю)(?!\w)){_PLACE}", single=True),
    _rule("lives in", r"^(?:в|во|на|под) (?P<value>[А-ЯЁ][^.,;!?\n]{1,30}?) (?:я |мы )?(?:сейчас |теперь |уже )?(?:живу|живём|живем)(?!\w)", single=True),
    _rule("lives in", rf"{_W}уже [а-яё\d ]{{2,20}}? как живу (?:в|во|на|под) {_PLACE}", single=True),
    _rule("lives in", rf"{_PAST_YA}(?:обосновался|обосновалась|обосновались|осел|осела|поселился|поселилась|поселились) (?:в|во|на|под) {_PLACE}", single=True),
    _rule("lives in", rf"\bmy (?:home|hometown now|home city|current city) is (?:in )?{_PLACE}", single=True),
    _rule("lives in", rf"{_YA}(?:живу|живём|живем|проживаю|обитаю) (?:теперь |сейчас |с \w+ |уже \w+ (?:год|лет|года) )?(?:в|во|на|под) (?:городе |городке |посёлке |деревне )?{_PLACE}", single=True),
    _rule("lives in", rf"{_PAST_YA}(?:переехал|переехала|переехали|перебрался|перебралась|перебрались)(?: жить)?(?: \w+ назад| недавно| вчера)?(?: (?:из|с) [^.,;!?\n]{{2,40}}?)? (?:в|во|на|под) (?:город |посёлок )?{_PLACE}", single=True),
    _rule("comes from", rf"(?:\bI'm|\bI come|\bI hail)\s+{_ADVERBS}from {_PLACE}", single=True),
    _rule("comes from", rf"^originally from {_PLACE}", single=True),
    _rule("comes from", rf"^born (?:and (?:raised|bred) )in {_PLACE}", single=True),
    _rule("comes from", rf"\bI (?:was born and raised|grew up|was raised) in {_PLACE}", single=True),
    _rule("comes from", rf"(?<![\w-])я\s+{_ADVERBS_RU}(?:родом |приехал |приехала )?из {_PLACE}", single=True),
    _rule("comes from", rf"^(?:сам |сама )?родом (?:я )?из {_PLACE}", single=True),
    _rule("comes from", rf"{_PAST_YA}(?:вырос|выросла) (?:в|на) {_PLACE}", single=True),
    _rule("works as", rf"{_I}work(?:ing)?(?: (?:full-time|part-time|remotely|freelance|there|here))?(?: (?:at|for|in) [^.,;!?\n]{{2,40}}?)? as (?!(?:usual|well|before|always|of|soon|long|hard|if|such)\b){_A}{_PLACE}", single=True),
    _rule("works as", rf"\bI've been working(?: (?:at|for|in) [^.,;!?\n]{{2,40}}?)? as (?!(?:usual|well|before|always|of|soon|long|hard|if|such)\b){_A}{_PLACE}", single=True),
    _rule("works as", rf"{_IM_OR_BARE}(?:working|employed)(?: (?:at|for|in|by) [^.,;!?\n]{{2,40}}?)? as (?!usual|well|before|always|of|soon|long|hard|if|such){_A}{_PLACE}", single=True),
    _rule("works as", rf"(?:\bI'm|\bI've been|^)\s*{_ADVERBS}(?:an? |the )(?P<value>(?:(?!(?:big|huge|bad|terrible|good|great|better|lousy|natural|born|fan|patient)\b)[\w'-]+ ){{0,3}}{_PROFESSION})(?=\s*(?:[.,;:!]|$|\b(?:at|for|in|by|and|from|with|but|who|working|specializing|specialising|on|since|of|here|now)\b))", single=True),
    _rule("works as", rf"\bI (?:earn|make) (?:my|a) living as {_A}{_PLACE}", single=True),
    _rule("works as", rf"(?:^|\bI've |\bI have )been (?:an? )(?P<value>(?:[\w'-]+ ){{0,2}}{_PROFESSION}) (?:for|since)\b", single=True),
    _rule("works as", rf"{_DID}(?:got |was )?hired (?:by|at) [^.,;!?\n]{{2,30}}? as (?:an? )?{_PLACE}", single=True),
    _rule("works as", r"(?<![\w-])меня (?:взяли|приняли)(?: на работу)?(?: (?:в|во|на) [^.,;!?\n]{2,30}?)? (?P<value>[а-яё-]{3,}(?:ом|ем|ём|ой|ей))(?=\s*(?:[.,;!]|$))", single=True),
    _rule("works as", rf"\bmy (?:job|profession|occupation) is (?:being |an? )*{_PLACE}", single=True),
    _rule("works as", rf"{_DID}(?:became|become|got hired as|got promoted to|was promoted to) (?:an? )?(?P<value>(?:[\w'-]+ ){{0,3}}{_PROFESSION})\b", single=True),
    _rule("works as", rf"{_YA}(?:работаю|тружусь|подрабатываю)(?: (?:в|во|на) [^.,;!?\n]{{2,30}}?)? (?P<value>(?:(?:старшим|главным|ведущим|младшим|школьным|детским|системным|старшей|главной|ведущей|частным) )?(?!удал)[а-яё-]{{3,}}(?:ом|ем|ём|ой|ей)(?<!домом)(?<!собой)(?<!семьёй)(?<!женой)(?<!мужем)(?: [а-яё]+(?:го|ых|их|ов|ий|ки|ы|и|ии))?)(?=\s*(?:[.,;!]|$|\b(?:в|во|на|и|а|но|уже|по|с)\b))", single=True),
    _rule("works as", rf"(?:{_W}я|^)\s*[-–—]?\s*{_ADVERBS_RU}(?:по (?:профессии|образованию|специальности)\s*(?:я )?[-–—]?\s*)(?P<value>[а-яё-]+(?: [а-яё-]+)?){_END}", single=True),
    _rule("works as", rf"{_W}(?:моя профессия|я)\s*[-–—]?\s*{_ADVERBS_RU}(?P<value>(?:(?:старший|главный|ведущий|младший|школьный|детский|системный|старшая|главная|ведущая|школьная|детская|семейный|бывалый|начинающий|веб-|веб|юный) ?)?{_PROFESSION_RU}(?:-[а-яё]+)?(?: (?:математики|физики|химии|биологии|истории|литературы|музыки|английского|русского(?: языка)?|начальных классов|скорой помощи))?)(?=\s*(?:[.,;!]|$|\b(?:в|во|на|и|а|но|уже|по|с|из)\b))", single=True),
    _rule("works as", rf"{_PAST_YA}(?:устроился|устроилась|стал|стала) (?P<value>[а-яё-]{{3,}}(?:ом|ем|ём|ой|ей))(?=\s*(?:[.,;!]|$|\b(?:в|во|на|и|а|но|год|месяц|два|три|пять|недавно|\d+)\b))", single=True),
    _rule("works at", rf"{_I}work (?:full-time |part-time |remotely |now )?(?:at|for|in) (?:an? |the )?(?!myself\b|free\b|it\b){_PLACE}", single=True),
    _rule("works at", rf"{_IM_OR_BARE}(?:working|employed) (?:full-time |part-time |remotely |now )?(?:at|for|in|by) (?:an? |the )?(?!myself\b|free\b|it\b){_PLACE}", single=True),
    _named("works at", rf"{_DID}(?:joined|started (?:working )?(?:at|for)|got (?:a (?:new )?)?job (?:at|with)|got hired (?:at|by)|got a (?:new )?position (?:at|with))\s+", _PROPER),
    _named("works at", r"(?<![\w-])меня (?:взяли|приняли)(?: на работу)? (?:в|во|на)\s+", r"(?P<value>(?!\w*У\b)[А-ЯЁA-Z][\w-]*(?: [А-ЯЁA-Z][\w-]*)*)"),
    _rule("works at", rf"{_DID}(?:found|got|started|landed|have) a (?:new )?job (?:at|with|in) (?:an? |the )?{_PLACE}", single=True),
    _rule("works at", rf"(?:\bI'm|^)\s*{_ADVERBS}an? (?:[\w-]+ ){{0,3}}{_PROFESSION} (?:at|for) (?:an? |the )?{_PLACE}", single=True),
    _rule("works at", rf"{_YA}(?:работаю|тружусь|служу|подрабатываю) (?:сейчас |теперь |удалённо |удаленно |[а-яё-]+(?:ом|ем|ём|ой|ей) )?(?:в|во|на) {_PLACE}", single=True),
    _rule("works at", rf"{_PAST_YA}(?:устроился|устроилась|вышел|вышла)(?: [а-яё]+(?:ом|ем|ой))?(?: на работу)? (?:в|во) {_PLACE}", single=True),
    _rule("works at", rf"{_PAST_YA}(?:перешёл|перешел|перешла)(?: работать)?(?: из [^.,;!?\n]{{2,30}}?)? в {_PLACE}", single=True),
    _rule("age", rf"(?:\bI'm|^|\bI just turned|\bI turned|\bI've just turned|\bI've turned)\s+{_ADVERBS}(?P<value>[1-9]\d|1[01]\d|{_NUMBER})(?: years? (?:old|of age)| y\.?o\.?\b|(?=\s*(?:[,;!]|\.(?!\d)|$| (?:and|now|last|this|in|today|yesterday|but)\b)))", single=True),
    _rule("age", rf"{_W}мне {_ADVERBS_RU}(?:недавно |вчера |скоро )?(?:исполнилось |стукнуло )?(?:полных |ровно )?(?P<value>\d{{1,3}}|{_NUMBER_RU}) ?(?:лет|год|года)(?!\w)(?! назад)", single=True),
    _rule("age", rf"{_W}(?<!дай )(?<!дайте )(?<!нужно )(?<!осталось )мне {_ADVERBS_RU}(?P<value>\d{{2}}|{_NUMBER_RU})(?=\s*(?:[,;!]|\.(?!\d)|$| (?:и|а|но)\b))", single=True),
    _rule("birthday", rf"\bmy (?:birthday|bday|b-day|date of birth)(?:'s| is)(?: on)? (?P<value>(?:the )?\d[^.,;:!?…()\n]{{0,20}}?|(?:the )?(?:\w+ of )?(?:january|february|march|april|may|june|july|august|september|october|november|december)[^.,;!?\n]{{0,12}}?){_END}", single=True),
    _rule("birthday", rf"\b(?:I was |^)born (?:on|in) (?P<value>(?:the )?(?:[a-z]+ )?\d[^.,;:!?…()\n]{{0,16}}?){_END}", single=True),
    _rule("comes from", rf"\bI was born in (?P<value>[A-Z][\w-]*(?: [A-Z][\w-]*)*){_END}", single=True),
    _rule("birthday", rf"{_W}(?:мой день рождения|день рождения у меня|мой др|др у меня)\s*[-–—]?\s*(?P<value>\d[^.,;:!?…()\n]{{1,25}}?|[а-яё]+ (?:января|февраля|марта|апреля|мая|июня|июля|августа|сентября|октября|ноября|декабря)){_END}", single=True),
    _rule("birthday", rf"{_PAST_YA}родил(?:ся|ась) (?:я )?(?:в )?(?P<value>\d[^.,;:!?…()\n]{{1,25}}?){_END}", single=True),
    _rule("comes from", rf"{_PAST_YA}родил(?:ся|ась) (?:и вырос |и выросла )?(?:в|на|под) (?P<value>[а-яё][^.,;:!?\n\d]{{2,30}}?){_END}", single=True),
    # relationships
    _rule("relationship", rf"{_IM_OR_BARE}(?:happily )?(?P<value>married|engaged|single|divorced|widowed)(?! to (?:my|the) (?:job|work|game))(?=\s*(?:[.,;!]|$|\b(?:to|with|and|for|now|since|again)\b))", single=True),
    _rule("relationship", rf"{_DID}got (?P<value>married|engaged)\b", single=True),
    _rule("relationship", r"\bI'm (?P<value>dating (?:[A-Z]\w+))", single=True),
    _rule("relationship", rf"{_W}я (?:уже |сейчас |счастливо )?(?P<value>(?:не )?женат|(?:не )?замужем|холост|помолвлен|помолвлена)(?!\w)", single=True),
    _rule("relationship", rf"{_PAST_YA}(?:не так давно |в прошлом году )?(?P<value>женился|поженились|вышла замуж|обручился|обручилась)(?!\w)", single=True),
    # what is eaten, what ails, what is spoken and studied
    _rule("diet", rf"(?:\bI'm|\bI've been|\bI've gone|\bI went|^)\s*{_ADVERBS}(?:an? )?(?:strict |lifelong |ethical )?(?P<value>vegan|vegetarian|pescatarian|lactose[ -]intolerant|gluten[ -]free|gluten intolerant|flexitarian|on a [\w-]+ diet|on keto|keto|teetotal|a teetotaler)(?=\s*(?:[.,;!]|$|\b(?:and|now|since|for|but|so)\b))"),
    _rule("diet", r"\bI (?:keep|eat|follow) (?:only )?(?:an? )?(?P<value>kosher|halal|vegan(?: diet)?|gluten-free|low-carb(?: diet)?|(?:[\w-]+ )?diet)\b"),
    _rule("does not eat", rf"{_I}(?:don't|can't|never|no longer) (?:eat|drink) {_PLACE}"),
    _rule("diet", rf"(?:{_W}я|^)\s*[-–—]?\s*{_ADVERBS_RU}(?:строгий |строгая )?(?P<value>веган(?:ка)?|вегетариан(?:ец|ка)|пескетариан(?:ец|ка)|на диете|сыроед)(?!\w)"),
    _rule("does not eat", r"\bI(?:'ve)? (?:gave up|given up|cut out|stopped eating|stopped drinking|quit) (?P<value>(?:red )?(?:meat|dairy|sugar|alcohol|gluten|coffee|caffeine|bread|wine|beer|pork|beef|fish|seafood|eggs|milk|cheese|sweets))\b"),
    _rule("does not eat", r"^(?!(?:ничего|почти|больше|давно|вообще|совсем|пока|я|мы|много|так)(?!\w))(?P<value>(?:[а-яё-]+ )?[а-яё-]+)(?<! я) (?:я )?(?:больше |вообще |совсем |давно )?не (?:ем|пью)(?!\w)"),
    _rule("does not eat", rf"(?<![\w-])(?<!они )не (?:ем|пью|употребляю) {_PLACE}"),
    _rule("diet", rf"{_W}у меня (?P<value>непереносимость (?:лактозы|глютена))"),
    _rule("allergic to", rf"{_IM_OR_BARE}allergic to {_VALUE}"),
    _rule("allergic to", r"\bI have (?:an? )?(?:\w+ )?(?P<value>[\w-]+(?: [\w-]+)?) allergy\b"),
    _rule("allergic to", rf"\bI have an? (?:\w+ )?allergy to {_VALUE}"),
    _rule("allergic to", rf"\bmy allerg(?:y|ies)(?: is| are) (?:to )?{_VALUE}"),
    _rule("allergic to", rf"^аллергия у меня (?:есть )?на {_VALUE}"),
    _rule("allergic to", rf"(?<![\w-])(?:у меня|^)\s*{_ADVERBS_RU}(?:сильная |страшная |жуткая )?аллергия (?:есть )?на {_VALUE}"),
    _rule("allergic to", rf"^(?:сильная )?аллергия на {_VALUE}"),
    _rule("allergic to", rf"{_W}я\s+(?:\w+ )?аллерги(?:к|чка) (?:на )?{_VALUE}"),
    _rule("illness", rf"(?:\bI have|\bI've had|\bI've got|\bI've|\bI suffer from|\bI'm suffering from|\bI struggle with|\bI live with|\band have)\s+{_ADVERBS}(?:an? )?(?:chronic |severe |mild |bad |frequent |terrible )*(?P<value>(?:type (?:1|2|one|two) )?(?:{_alternatives(ILLNESSES)}))\b"),
    _rule("illness", rf"\bI(?:'m|'ve been| was| got)(?: recently| just)? diagnosed with (?:an? )?{_PLACE}"),
    _rule("illness", r"\bI'm (?:an? )?(?:type (?:1|2) )?(?P<value>diabetic|asthmatic|epileptic|color-?blind|colour-?blind|deaf|dyslexic|autistic|anemic)\b"),
    _rule("illness", rf"{_W}у меня {_ADVERBS_RU}(?:есть )?(?:хроническ\w+ |сильн\w+ |част\w+ |бронхиальная )*(?P<value>(?:сахарный )?(?:{_alternatives(ILLNESSES_RU)})(?: (?:первого|второго|1|2) типа)?)(?!\w)"),
    _rule("illness", rf"{_YA}(?:страдаю|мучаюсь) (?:от )?(?!ерунд|фигн|херн|дур|чушь|чуш)(?P<value>[а-яё]+(?:ом|ей|ой|ью|ями|ией|ы|и)){_END}"),
    _rule("illness", rf"{_YA}болею (?P<value>[а-яё]+(?:ом|ей|ой|ью|ией)){_END}"),
    _rule("illness", rf"{_W}мне (?:недавно )?(?:поставили диагноз|диагностировали) {_VALUE}"),
    _rule("native language", rf"\bmy (?:native language|mother tongue|first language|native tongue) is (?P<value>{_LANGUAGE})\b", single=True),
    _rule("native language", rf"{_W}мой родной(?: язык)?\s*[-–—:]?\s*(?P<value>{_LANGUAGE_RU})", single=True),
    _rule("speaks", rf"{_I}(?:can )?(?:speak|know) (?:\w+ )?(?:fluent |some |good |a little |basic |a bit of |native |both )?(?P<value>{_LANGUAGE}(?:(?:,? and |, )(?:\w+ )?{_LANGUAGE})*)\b"),
    _rule("speaks", rf"{_IM_OR_BARE}(?:fluent|native|bilingual|proficient|conversational) in (?P<value>{_LANGUAGE}(?:(?:,? and |, ){_LANGUAGE})*)\b"),
    _rule("speaks", rf"{_YA}(?:свободно |хорошо |немного |бегло |неплохо |прилично |чуть-чуть )*(?:говорю|владею|знаю|понимаю)(?: свободно| хорошо| немного| бегло| неплохо)? (?:на |по-)?(?P<value>{_LANGUAGE_RU}(?: и (?:по-|на )?{_LANGUAGE_RU})?)"),
    _rule("learning", rf"{_IM_OR_BARE}(?:learning|studying)(?: how)? (?:to (?:play |speak )?(?:the )?)?(?P<value>{_LANGUAGE}|(?:the )?(?:guitar|piano|violin|drums|ukulele|cello|python|rust|javascript|sql|code|drive|swim|knit|cook|paint|sew|dance)(?: \w+)?)(?=\s*(?:[.,;!]|$|\b(?:and|on|for|with|at|now|since|in|from|because|but)\b))"),
    _rule("learning", rf"{_DID}(?:started|began) (?:learning|studying|taking) (?:an? |the )?(?P<value>(?:\w+ )?(?:{_LANGUAGE}|guitar|piano|violin|drums|ukulele|python|rust)(?: lessons| classes)?)\b"),
    _rule("learning", rf"{_YA}(?:учу|начал учить|начала учить|начал изучать) (?P<value>{_LANGUAGE_RU}(?: язык)?|python|питон|ноты|анатомию|программирование)(?!\w)"),
    _rule("learning", rf"{_YA}(?:изучаю|осваиваю) {_PLACE}"),
    _rule("learning", rf"{_YA}учусь (?P<value>(?:играть на |кататься на |водить|рисовать|плавать|готовить|шить|вязать|программировать|танцевать)[^.,;!?\n]{{0,25}}?){_END}"),
    _rule("studies at", rf"{_IM_OR_BARE}(?:an? )?(?:(?:first|second|third|final|phd|master's|medical|law|graduate|exchange|fourth)[ -]?(?:year)? ?)?(?:student|undergrad|freshman|sophomore|junior|senior|studying(?: [\w ]{{2,30}}?)?|enrolled) (?:at|in the university of) (?:the )?{_PLACE}", single=True),
    _rule("studies at", rf"{_I}(?:study|go to (?:school|college|university))(?: [\w ]{{2,30}}?)? at (?:the )?{_PLACE}", single=True),
    _named("studies at", rf"{_I}(?:attend|go to)\s+(?:the )?(?=[\w ]*(?:university|college|school|institute|academy)|MIT|UCLA|ETH|NYU)", _PROPER),
    _rule("studies", rf"{_I}(?:study|major in) (?!{_NO_SUBJECT}){_STUDY}", single=True),
    _rule("studies", rf"{_IM_OR_BARE}(?:studying|majoring in|doing (?:a|my) (?:phd|master's|masters|degree|ba|bachelor's) in) (?!{_NO_SUBJECT}){_STUDY}", single=True),
    _rule("studies at", rf"{_YA}учусь (?:сейчас |заочно |на (?:\w+) курсе )?(?:в|во) (?!школ\w+ жизни)(?!\w+ класс){_PLACE}", single=True),
    _rule("studies at", rf"(?:{_W}я|^)\s*[-–—]?\s*студент(?:ка)? (?P<value>[А-ЯЁ]{{2,}}|[\w-]+ (?:университета|института|академии|вуза|колледжа))", single=True),
    _rule("studies at", rf"{_PAST_YA}(?:поступил|поступила) (?:в|на) {_PLACE}", single=True),
    _rule("studies at", rf"{_IM_OR_BARE}doing (?:a|my) (?:phd|master's|masters|degree|ba|bachelor's)(?: in [^.,;!?\n]{{2,40}}?)? at (?:the )?{_PLACE}", single=True),
    _rule("studies at", rf"{_YA}учусь на (?:\w+) курсе (?!(?:жизни|в|во)(?!\w)){_PLACE}", single=True),
    _rule("studies", rf"{_YA}учусь на (?!\w+ курсе)(?!пят)(?P<value>[а-яё-]+(?:а|ра|та|ога|ста|га|ка|ея)(?: [а-яё-]+)?){_END}", single=True),
    _rule("graduated from", rf"{_DID}graduated from (?:the )?{_PLACE}"),
    _rule("graduated from", rf"{_PAST_YA}(?:окончил|окончила|закончил|закончила) (?P<value>(?:[А-ЯЁ]{{2,}}|[\w-]*(?:университет|институт|школ|колледж|академи|училищ|физфак|мехмат|[а-яё]+фак)\w*|\w+ (?:университет|институт|академию|колледж))[^.,;!?\n]{{0,30}}?)(?=\s*(?:[.,;!?]|$)| (?:в|и|с)\b)"),
    # tastes; what is liked no more answers to what was liked, see `opposite_of`
    _rule("dislikes", rf"{_I}(?:hate|dislike|detest|can't stand|can't bear|loathe|despise) {_VALUE}", kind="preference"),
    _rule("dislikes", rf"^not (?:really )?(?:an? )?(?:(?:big |huge )?fan of|fond of|keen on) {_VALUE}", kind="preference"),
    _rule("dislikes", rf"{_I}(?:don't|no longer|never) (?:really |actually |particularly |even )?(?:like|love|enjoy|care for) {_VALUE}", kind="preference"),
    _rule("dislikes", rf"\bI'm (?:really )?not (?:really )?(?:a (?:big |huge )?fan of|fond of|into|keen on|crazy about) {_VALUE}", kind="preference"),
    _rule("dislikes", rf"{_YA}(?:больше |совсем |очень |вообще )*(?:не (?:люблю|перевариваю|выношу|переношу)|ненавижу|терпеть не могу|на дух не переношу) {_VALUE}", kind="preference"),
    _rule("dislikes", rf"(?<![\w-])мне (?:больше |совсем |очень |вообще )*не нрав[ия]тся {_VALUE}", kind="preference"),
    _rule("likes", rf"(?!^{_ADVERBS}like\b){_I}(?:like|love|enjoy|adore) {_VALUE}", kind="preference"),
    _rule("likes", rf"{_IM_OR_BARE}(?:fond of|an? (?:big |huge |massive )?fan of|into|crazy about|keen on|passionate about|obsessed with|big on) {_VALUE}", kind="preference"),
    _rule("likes", r"\bI'm an? (?:big |huge |massive )?(?P<value>[\w -]{2,25}) (?:fan|lover|enthusiast|buff)\b", kind="preference"),
    _rule("likes", rf"{_YA}(?:(?<!не )люблю|обожаю|фанатею от|увлекаюсь|увлечён|увлечена) {_VALUE}", kind="preference"),
    _rule("likes", rf"{_YA}(?:балдею от|тащусь от|кайфую от|без ума от|души не чаю в) {_VALUE}", kind="preference"),
    _rule("dislikes", r"^(?!(?:так|как|я|мы|что|очень|просто|больше|вообще|совсем|никого|никогда)(?!\w))(?P<value>(?:[а-яё-]+ )?[а-яё-]+)(?<! я) (?:я )?(?:очень |совсем |вообще |больше )?(?:не люблю|ненавижу|терпеть не могу|не переношу)(?=\s*(?:[.,;!]|$))", kind="preference"),
    _rule("likes", r"^(?!(?:так|как|я|мы|что|очень|просто|больше|вообще|тебя|вас|всех|не|и|а|но)(?!\w))(?P<value>(?:[а-яё-]+ )?[а-яё-]+)(?<! я)(?<! не) (?:я )?(?:очень )?(?:люблю|обожаю)(?=\s*(?:[.,;!]|$))", kind="preference"),
    _rule("likes", rf"(?<![\w-])мне (?:очень |тоже |безумно |больше всего )*(?:нрав[ия]тся|по душе) {_VALUE}", kind="preference"),
    _rule("likes", rf"{_W}я (?:\w+ )?(?:фанат|фанатка|поклонник|поклонница|любитель|любительница) {_VALUE}", kind="preference"),
    _rule("prefers", rf"{_I}prefer {_VALUE}", kind="preference"),
    _rule("prefers", rf"{_YA}предпочитаю {_VALUE}", kind="preference"),
    # instructions
    _rule("instruction", rf"(?:^|[.!?,]\s*)(?P<whole>(?:please,? |and )?(?:(?:always|never|from now on,? (?:please |always |only |never )?|in (?:the )?future,? (?:please )?)\s*(?:please )?(?:answer|reply|respond|use|write|speak|call|address|show|give|send|tell|ask|include|add|put|start|end|begin|keep|remember|explain|translate|format|cite|check|remind|suggest|recommend|mention|avoid|make|do|be|treat|assume|provide|quote|sign|summari[sz]e|list|convert|greet|apologi[sz]e|offer|talk|sugarcoat|interrupt|share|spell|round|skip|reveal|don't)\b(?! me (?:laugh|smile))(?! up\b| yourself\b| afraid\b)|remember (?:that (?!time|day|one|night|song|movie|film)|to )|don't (?:ever )?(?:forget (?:that|to)|use|call me|answer|reply|mention|show|suggest|recommend)|keep in mind|make sure (?:to|that|you)){_SENTENCE})", kind="instruction"),
    _rule("instruction", r"^(?P<whole>(?:please,? )?(?:don't|do not|use|answer|reply|respond|write|speak|call me|address me|keep|avoid)\b(?P<value>[^!?…\n]{3,200}\b(?:from now on|in (?:the )?future|going forward)))", kind="instruction"),
    _rule("instruction", r"^(?P<whole>(?:пожалуйста,? )?(?:отвечай|пиши|говори|обращайся|используй|называй|объясняй|давай)(?:те)? (?:мне |ко мне |со мной )?(?P<value>(?:всегда|впредь|отныне|только)(?!\w)[^!?…\n]{3,200}))", kind="instruction"),
    _rule("instruction", rf"(?:^|[.!?,]\s*)(?P<whole>(?:пожалуйста,? )?(?:(?:всегда|никогда(?: мне)?(?: больше)? не|впредь(?: не)?|отныне(?: не)?|с этого момента(?: не)?|больше никогда не)(?: мне)? (?!говори никогда)(?:[а-яё]+(?:[ай]й|[ауыо]й|яй|уй|ей|йте)|[а-яё]+(?<!л)(?<!люд)(?:и|ите)|ответь(?:те)?|ставь(?:те)?|будь(?:те)?)(?![\w-])|запомни(?:те)?(?![\w-])(?!,? (?:когда|как мы)):?|не забудь(?:те)?(?![\w-])|не забывай(?:те)?(?![\w-])|имей(?:те)? в виду|учти(?:те)?(?![\w-])|учитывай(?:те)?(?![\w-])){_SENTENCE})", kind="instruction"),
    # plans and decisions
    _rule("decided", rf"\b(?:I|we)(?:'ve| have)? (?:finally |just )?(?:decided|chosen|agreed) (?:to |on |that )(?!that\b){_VALUE}"),
    _rule("decided", rf"(?<![\w-])(?:я|мы)(?: всё-таки| все-таки| наконец| твёрдо)? (?:решил|решила|решили|договорились)(?:,? что)? {_VALUE}"),
    _rule("plans", rf"{_IM_OR_BARE}(?:going to (?=(?:visit|travel|move|buy|sell|start|learn|study|marry|propose|retire|renovate|paint|adopt|build|open|launch|apply|fly|spend|climb|attend|join|host|quit|switch|become|publish|teach|celebrate|run a|take part)\b)|planning to |hoping to |planning (?=an? |on )(?:an? |on ))(?!say\b|be honest\b|ask\b|need\b|assume\b){_VALUE}"),
    _rule("plans", rf"{_I}(?:plan|intend) to {_VALUE}"),
    _rule("plans", rf"{_YA}(?:собираюсь|планирую|намерен|намерена) {_VALUE}"),
    _rule("deadline", rf"\b(?:my|our|the) (?:[\w-]+ )?deadline(?:'s| is)(?: on| by)? (?P<value>[^.,;:!?…()\n]*(?:\d|monday|tuesday|wednesday|thursday|friday|saturday|sunday|tomorrow|january|february|march|april|may|june|july|august|september|october|november|december|week|month)[^.,;:!?…()\n]*?){_END}", single=True),
    _rule("deadline", rf"(?<![\w-])(?:мой |наш )?(?:срок(?: сдачи)?|дедлайн)(?: [а-яё]+ [а-яё]+| [а-яё]+)?\s*[-–—:]?\s*(?:до )?(?P<value>\d[^.,;:!?…()\n]{{1,30}}?|завтра|послезавтра|(?:в |следующ\w+ )*(?:понедельник|вторник|сред[ау]|четверг|пятниц[ау]|суббот[ау]|воскресенье)){_END}", single=True),
    # possessions
    _rule("has", rf"(?:\b(?:I|we) {_ADVERBS}(?:have|own|have got|adopted|drive|ride)|\b(?:I've|we've) (?:got|adopted|just adopted|had)|\band have|\band own|^(?:have|own)) {_COUNT} {_VALUE}"),
    _rule("has", r"\b(?:I|we) have (?P<value>(?:(?:twin|triplet|grown|small|young|little) )?(?:kids|children|girls|boys|sons|daughters|twins|triplets))(?=\s*(?:[.,;!]|$|\band\b))"),
    _named("has", rf"{_DID}traded in (?:my|our) [\w' -]{{2,40}}? for (?:an? )", r"(?P<value>[A-Z][\w-]*(?: [A-Z\d][\w-]*)*|(?:new |used )?(?:car|bike|motorcycle|motorbike|boat|van|truck))(?=\s*(?:[.,;!]|$))", single=False),
    _rule("has", rf"{_PAST_YA}(?:взял|взяла|взяли) (?:себе )?(?:из приюта )(?P<value>[а-яё-]+(?: [а-яё-]+)?){_END}"),
    _rule("has", r"(?<![\w-])у (?:меня|нас) (?:растут |есть |родились )?(?P<value>двойня|двойняшки|близнецы|тройняшки)(?!\w)"),
    _rule("has", rf"{_DID}(?:bought|got|purchased) (?:me |us |myself |ourselves )?{_COUNT} (?P<value>(?:[\w'-]+ ){{0,3}}(?:car|house|flat|apartment|condo|dog|puppy|cat|kitten|kittens|cats|dogs|bike|bicycle|motorcycle|motorbike|boat|guitar|piano|violin|laptop|macbook|iphone|phone|camera|truck|van|farm|cottage|telescope|horse|rabbit|hamster|parrot|cabin|tesla|toyota|honda)(?: by the \w+| in \w+| near \w+)?)(?=\s*(?:[.,;!]|$|\b(?:last|this|and|for|from|yesterday|today|in|on|named|called|with)\b))"),
    _rule("has", rf"{_W}(?:у меня|у нас) (?:тоже |теперь |дома |сейчас |уже )*(?:есть|живёт|живет|живут) {_VALUE}"),
    _rule("has", rf"{_W}(?:у меня|у нас) (?P<value>(?:(?:двое|трое|два|две|три|четыре|один|одна|четверо|маленький|маленькая|старый|старая|большая|большой|рыжий|рыжая|чёрный|чёрная|новая|новый|старенькая) )*(?:дет[ие]\w*|сын\w*|дочер\w*|доч\w*|дочк\w*|кот\w*|кошк\w*|собак\w*|пёс|щен\w+|машин\w+|дач\w+|квартир\w+|дом|брат\w*|сестр\w*|мотоцикл|велосипед|гитара|пианино|аквариум|попуга\w+|хомяк\w*|лошад\w*|внук\w*|внучк\w*|toyota|bmw|lada|лада\w*|тойота\w*|пасека|огород|бизнес|кафе|магазин))(?=\s*(?:[.,;!]|$|[-–—]|\b(?:и|а|но|по|с)\b))"),
    _rule("has", rf"{_PAST_YA}(?:купил|купила|купили|завёл|завел|завела|завели|приобрёл|приобрела) (?:себе |нам |сегодня |вчера |наконец )*(?P<value>(?:[а-яё-]+ ){{0,2}}(?:машин|автомобил|квартир|дом|дач|велосипед|мотоцикл|собак|кошк|щен|кот|гитар|пианино|ноутбук|телефон|айфон|участок|гараж|лодк|самокат|планшет|компьютер|приставк|макбук|рыбок|попуга|хомяк|лошад|коз|кур|тойот|бмв|ладу|кроликов|кролика)[а-яё]*)(?=\s*(?:[.,;!?]|$)| (?:и|за|в|на|после|вчера|для|у)\b)"),
)  # fmt: skip
# "my favourite film is …", "my dog is called …": the relation holds what it is about.
_FAVOURITE = re.compile(
    rf"\bmy (?:all-time )?favou?rite (?P<what>[\w ]{{2,30}}?)(?:'s| is| are) {_VALUE}", re.IGNORECASE
)
_FAVOURITE_RU = re.compile(
    rf"(?<![\w-])(?:мо[йяеёи]+ )?(?:самый |самая )?любим(?:ый|ая|ое|ые) (?P<what>[а-яё ]{{2,30}}?)\s*(?:(?:у меня )?[-–—]|это|\bназывается|\bу меня)\s*{_VALUE}",
    re.IGNORECASE,
)
_KIN = "|".join(sorted(KIN, key=len, reverse=True))
_KIN_FORMS = "|".join(sorted(KIN_RU, key=len, reverse=True))
_OLDER = r"(?:(?:older|younger|little|big|elder|twin|best|eldest|youngest|oldest|late|new|baby|only|ex|pet|stepson|middle) )*"
_MY = rf"\b(?:my|our) {_OLDER}(?P<who>{_KIN})"
_OLDER_RU = r"(?:(?:старш|младш|лучш|родн|двоюродн|нов|единственн|маленьк|больш)\w+ )*"
_MY_RU = rf"(?<![\w-])(?:(?:мо[йяеёи]|мою|моего|моей|моему|наш|наша|нашу|нашего|нашей|нашему|у меня|у моей|у моего) )?{_OLDER_RU}(?P<who>{_KIN_FORMS})(?![\w-])"
_AND_NAME = r"(?:,? [A-ZА-ЯЁ][\w-]+,?)?"
# Of others: "my sister lives in …" is a fact of the user, under the relation "sister lives in".
_OTHERS = (
    ("is called", re.compile(rf"(?i:{_MY}(?:'s name(?:'s| is)| is (?:called|named)| named| called|,? named)\s+){_NAME}"), True),
    ("is called", re.compile(rf"(?i:{_MY_RU} (?:зовут|звать|называется|по имени|— это)\s+){_NAME}"), True),
    ("lives in", re.compile(rf"{_MY}{_AND_NAME} (?:now |currently |still |just )?(?:lives?|is living|is based|moved)(?: back| now)? (?:in|to|near|on) {_PLACE}", re.IGNORECASE), True),
    ("lives in", re.compile(rf"{_MY_RU}{_AND_NAME} (?:сейчас |теперь |давно |уже )?(?:живёт|живет|живут|переехал|переехала)(?: сейчас)? (?:в|во|на|под) {_PLACE}", re.IGNORECASE), True),
    ("works as", re.compile(rf"{_MY}{_AND_NAME} (?:works|is working)(?: (?:at|in|for) [^.,;!?\n]{{2,30}}?)? as (?:an? )?{_PLACE}", re.IGNORECASE), True),
    ("works as", re.compile(rf"{_MY}{_AND_NAME} is an? (?P<value>(?:[\w-]+ ){{0,2}}{_PROFESSION})(?=\s*(?:[.,;!]|$|\b(?:at|in|and|for|from|who|too|but)\b))", re.IGNORECASE), True),
    ("works at", re.compile(rf"{_MY}{_AND_NAME} (?:now )?(?:works|is working) (?:at|for|in) (?:an? |the )?{_PLACE}", re.IGNORECASE), True),
    ("works as", re.compile(rf"{_MY_RU}{_AND_NAME} (?:работает|трудится) (?:(?:в|на) [^.,;!?\n]{{2,30}}? )?(?P<value>(?:старш\w+ |главн\w+ |школьн\w+ )?[а-яё-]{{3,}}(?:ом|ем|ём|ой|ей))(?=\s*(?:[.,;!]|$|\b(?:в|во|на|и|а|но)\b))", re.IGNORECASE), True),
    ("works as", re.compile(rf"{_MY_RU}{_AND_NAME}\s*(?:[-–—]|по профессии)\s*(?P<value>(?:\w+ )?{_PROFESSION_RU})(?!\w)", re.IGNORECASE), True),
    ("works at", re.compile(rf"{_MY_RU}{_AND_NAME} (?:сейчас |теперь )?работает (?:[а-яё-]+(?:ом|ем|ой|ей) )?(?:в|во|на) {_PLACE}", re.IGNORECASE), True),
    ("age", re.compile(rf"{_MY}{_AND_NAME} (?:is|turned|just turned) (?P<value>\d{{1,2}}|{_NUMBER}|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)(?: years? old)?(?=\s*(?:[.,;!]|$|\b(?:and|now|today|this|but)\b))", re.IGNORECASE), True),
    ("age", re.compile(rf"{_MY_RU}{_AND_NAME}\s*[-–—]? ?(?:уже |сейчас |исполнилось |скоро )*(?P<value>\d{{1,2}}|{_NUMBER_RU}|два|три|четыре|пять|шесть|семь|восемь|девять|десять|одиннадцать|двенадцать) (?:лет|год|года)(?!\w)", re.IGNORECASE), True),
    ("birthday", re.compile(rf"{_MY}'s birthday is (?:on )?{_VALUE}", re.IGNORECASE), True),
    ("allergic to", re.compile(rf"{_MY}{_AND_NAME} is (?:\w+ )?allergic to {_VALUE}", re.IGNORECASE), False),
    ("allergic to", re.compile(rf"(?<![\w-])у (?:мо\w+ )?(?P<who>{_KIN_FORMS}) (?:\w+ )?аллергия на {_VALUE}", re.IGNORECASE), False),
    ("likes", re.compile(rf"{_MY}{_AND_NAME} (?:really |absolutely )?(?:loves|likes|enjoys|adores) {_VALUE}", re.IGNORECASE), False),
    ("dislikes", re.compile(rf"{_MY}{_AND_NAME} (?:really |absolutely )?(?:hates|dislikes|doesn't like|can't stand) {_VALUE}", re.IGNORECASE), False),
    ("likes", re.compile(rf"{_MY_RU}{_AND_NAME} (?:очень )?(?:(?<!не )любит|обожает|увлекается) {_VALUE}", re.IGNORECASE), False),
    ("dislikes", re.compile(rf"{_MY_RU}{_AND_NAME} (?:очень )?(?:не любит|ненавидит|терпеть не может) {_VALUE}", re.IGNORECASE), False),
    ("studies at", re.compile(rf"{_MY}{_AND_NAME} (?:studies|goes to (?:school|college|university))(?: [\w ]{{2,25}}?)? at (?:the )?{_PLACE}", re.IGNORECASE), True),
    ("studies", re.compile(rf"{_MY}{_AND_NAME} (?:studies|is studying) (?!at\b){_STUDY}", re.IGNORECASE), True),
    ("studies at", re.compile(rf"{_MY_RU}{_AND_NAME} учится (?:в|на) {_PLACE}", re.IGNORECASE), True),
)  # fmt: skip
_OTHERS_ENDED = (
    ("lives in", re.compile(rf"{_MY}{_AND_NAME} (?:used to live|no longer lives|doesn't live) (?:in|at|near|on) {_PLACE}", re.IGNORECASE)),
    ("works at", re.compile(rf"{_MY}{_AND_NAME} (?:used to work|no longer works|doesn't work) (?:at|for|in) (?:an? |the )?{_PLACE}", re.IGNORECASE)),
    ("lives in", re.compile(rf"{_MY_RU}{_AND_NAME} (?:(?:раньше|прежде) (?:жил|жила)|(?:больше|уже) не жив[её]т) (?:в|во|на|под) {_PLACE}", re.IGNORECASE)),
    ("works at", re.compile(rf"{_MY_RU}{_AND_NAME} (?:(?:раньше|прежде) (?:работал|работала|служил|служила)|(?:больше|уже) не работает) (?:в|во|на) {_PLACE}", re.IGNORECASE)),
)  # fmt: skip
_LAST_WORDS = re.compile(
    r"\s+(?:now|currently|these days|nowadays|at the moment|right now|anymore|any more|any longer|too|as well|a lot|very much|so much|more than anything|"
    r"today|yesterday|lately|recently|again|already|actually|though|since|last (?:week|month|year|summer|winter|spring|fall|autumn|night)|"
    r"this (?:week|month|year|summer)|sometimes|especially|in general|by the way|btw|everyone|all|old|haha|lol|"
    r"сейчас|теперь|уже|тоже|очень|больше всего|больше|сегодня|вчера|недавно|снова|опять|с детства|вообще|кстати|"
    r"на прошлой неделе|в прошлом (?:году|месяце)|в этом году|этим летом|весной|летом|осенью|зимой)$",
    re.IGNORECASE,
)
_FIRST_WORDS = re.compile(
    r"^(?:(?:the city of|my|our|to(?= \w)|when it comes to|это|мой|моя|мою|моё|свой|свою|своего)\s+)", re.IGNORECASE
)
_RUSSIAN_OTHERS = frozenset(one[1] for one in (*_OTHERS, *_OTHERS_ENDED) if _is_russian(one[1].pattern))
_CYRILLIC, _LATIN = re.compile("[а-яё]", re.IGNORECASE), re.compile("[a-z]", re.IGNORECASE)
# What every English statement has: somebody who speaks of themselves, an order, or a beginning without a pronoun. Most
# sentences have none of it, and need not be tried against every rule.
_MAY_STATE = re.compile(
    r"\b(?:i|i'm|i've|we|we've|we're|my|our|call|calls|always|never|no longer|the name's|the name is|from now|in future|in the future|remember|don't|keep in mind|"
    r"make sure|deadline)\b|^(?:[a-z'-]+\s+){0,3}?(?:live|living|residing|based|located|settled|moved|relocated|resettled|"
    r"from|born|work|working|employed|joined|started|found|got|landed|lost|quit|left|resigned|retired|fired|laid|became|love|like|"
    r"hate|enjoy|adore|prefer|dislike|detest|loathe|despise|fond|into|crazy|keen|passionate|obsessed|allergic|fluent|native|"
    r"bilingual|proficient|fan|staying|been|adopted|learning|studying|majoring|enrolled|student|graduated|planning|going|hoping|plan|intend|have|own|sold|"
    r"gave|broke|split|married|engaged|single|divorced|widowed|vegan|vegetarian|pescatarian|lactose|gluten|speak|know|study|attend|"
    r"\d{1,2})\b",
    re.IGNORECASE,
)
_TASTES = frozenset({"likes", "dislikes", "prefers"})
_PLACE_RELATIONS = frozenset({"lives in", "works at", "comes from", "studies at"})
_OPPOSITES = {"likes": "dislikes", "dislikes": "likes"}
_PARTNERS = ("girlfriend", "boyfriend", "partner", "wife", "husband", "девушка", "парень", "жена", "муж")


def statements(content: str, subject: str) -> Iterator[Statement]:
    """The facts that a message in the first person states, in the order of its sentences, each once.

    Quoted lines (`> …`, as recalled memory is rendered) and code are not read: what was recalled is never learnt again.
    Pure; may be called from many threads at once.
    """
    seen: set[Statement] = set()
    for sentence in own_sentences(content):
        # what begins comes before what ends, so that "from Oslo to Riga" links the two
        for statement in sorted(_in_sentence(sentence, subject), key=lambda one: bool(one.ends)):
            if statement not in seen:
                seen.add(statement)
                yield statement


def opposite_of(relation: str) -> str | None:
    """The relation that says the contrary of this one."""
    return _OPPOSITES.get(relation)


def has_one_value(relation: str) -> bool:
    """Whether somebody has one value of a relation at a time, as far as the rules know it; of others they have one."""
    of_others = any(relation.endswith(f" {about}") and not is_single for about, _, is_single in _OTHERS)
    return not of_others and not any(rule.relation == relation and not rule.is_single for rule in _RULES)


def is_known_to_be_single(relation: str) -> bool:
    """Whether a relation is one of the rules' own that has one value at a time."""
    return has_one_value(relation) and any(rule.relation == relation for rule in _RULES)


def _in_sentence(sentence: str, subject: str) -> Iterator[Statement]:
    taken: list[tuple[int, int]] = []
    for match, statement in _found(sentence, subject):
        span = match.span("value")
        # "I don't like X" must not be "like X" as well: the first rule that takes a stretch of words keeps it
        if statement.value and not any(start < span[1] and span[0] < end for start, end in taken):
            taken.append(span)
            yield statement
            yield from _following(statement)


def _found(sentence: str, subject: str) -> Iterator[tuple[re.Match[str], Statement]]:
    is_russian = _CYRILLIC.search(sentence) is not None
    if not is_russian and not _MAY_STATE.search(sentence):
        return
    is_latin = _LATIN.search(sentence) is not None
    for about, pattern in _OTHERS_ENDED:
        if not (is_russian if pattern in _RUSSIAN_OTHERS else is_latin):
            continue
        for match in pattern.finditer(sentence):
            who = normalize(match["who"])
            relation = f"{KIN_RU.get(who, who)} {about}"
            yield match, Statement(subject, relation, _value(match, about), is_single=True, ends="value")
    for about, pattern, is_single in _OTHERS:
        if not (is_russian if pattern in _RUSSIAN_OTHERS else is_latin):
            continue
        for match in pattern.finditer(sentence):
            who = normalize(match["who"])
            relation = f"{KIN_RU.get(who, who)} {about}"
            kind = "preference" if about in _OPPOSITES else "fact"
            yield match, Statement(subject, relation, _value(match, about), kind, is_single)
    for pattern in (_FAVOURITE, _FAVOURITE_RU):
        for match in pattern.finditer(sentence):
            relation = f"favourite {normalize(match['what']).strip()}"
            yield match, Statement(subject, relation, _value(match, ""), "preference", True)
    for rule in _RULES:
        if not (is_russian if rule.is_russian else is_latin):
            continue
        for match in rule.pattern.finditer(sentence):
            value = _value(match, rule.relation)
            yield match, Statement(subject, rule.relation, value, rule.kind, rule.is_single, rule.ends)


def _following(statement: Statement) -> Iterator[Statement]:
    """What ends together with it: who parted from somebody has a girlfriend of that name no more."""
    if statement.relation != "relationship" or not statement.ends:
        return
    for partner in _PARTNERS:
        who = normalize(statement.value)
        ends: Ends = "relation" if KIN_RU.get(who, who) == partner else "value"
        yield Statement(statement.subject, f"{partner} is called", statement.value, ends=ends, is_single=True)


def _value(match: re.Match[str], relation: str) -> str:
    """The value as it is kept; "" when it says nothing, or something else than the rule takes it for."""
    groups = match.groupdict()
    value = _clean(groups.get("whole") or groups["value"] or "")
    if relation == "instruction":
        return value
    while (shorter := _LAST_WORDS.sub("", value)) != value:
        value = shorter
    value = _clean(_FIRST_WORDS.sub("", value))
    words = normalize(value).split()
    if not words or normalize(value) in EMPTY_VALUES or words[0] in EMPTY_BEGINNINGS:
        return ""
    if relation in _PLACE_RELATIONS and (words[0] in NOT_PLACES or words[-1] in NOT_PLACES):
        return ""
    if relation in ("name", "is called") and (words[0] in NOT_NAMES or len(words[0]) < 2):
        return ""
    if relation == "has" and (" to " in value or not NO_POSSESSIONS.isdisjoint(words[:4])):
        return ""
    if relation in _TASTES and (_is_idle(words) or not {"is", "are", "was", "were"}.isdisjoint(words)):
        return ""
    if relation == "does not eat" and words[0] in NOT_FOOD:
        return ""
    if relation == "allergic to" and words[0] in NO_ALLERGENS:
        return ""
    if relation in ("lives in", "comes from") and not _is_place(value, words):
        return ""
    if relation == "comes from" and not _is_named(value, words, match.string):
        return ""
    if relation in ("name", "is called") and value == value.lower():
        value = value.title()
    return value


def _is_place(value: str, words: list[str]) -> bool:
    """Whether what somebody lives in or comes from is a place: "the countryside" is, "the marketing team" is not."""
    if words[0] not in ("the", "a", "an") or not PLACE_WORDS.isdisjoint(words):
        return True
    return value.split()[1:2] != [] and value.split()[1][0].isupper()


def _is_named(value: str, words: list[str], sentence: str) -> bool:
    """Whether a Russian place has its capital, where the author writes them: "Я из Омска", not "Я из бухгалтерии"."""
    is_written_so = value != value.lower() or not _CYRILLIC.search(value)
    return is_written_so or sentence == sentence.lower() or not PLACE_WORDS.isdisjoint(words)


def _is_idle(words: list[str]) -> bool:
    """Whether a taste is of the talk itself: "the idea", "to say this"."""
    about = words[1] if words[0] == "the" and len(words) > 1 else words[0] if len(words) == 1 else ""
    return words[0] in IDLE_ACTIONS or about in IDLE_OBJECTS


def _clean(value: str) -> str:
    return " ".join(value.split()).strip(" \"'«»“”.,;:-–—")
