"""English values that run on or say nothing: where they are cut, and which are refused.

A pattern knows where a value begins better than where it ends, and a wrong fact costs more than one that is missed. What a value
is of any language is `fact_values`'.
"""

import re
from collections.abc import Callable, Mapping

from interconnected_ai.memory.fact_words import (
    EMPLOYERS,
    HOME_WORDS,
    KIN,
    OWNED,
    PETS,
    PLACE_WORDS,
    PLACES_EN,
    PROFESSIONS,
    TRADES_EN,
)

_TASTES = frozenset({"likes", "dislikes", "prefers"})
_PLACED = frozenset({"lives in", "works at", "comes from", "studies at", "graduated from"})
_OF_DOING = frozenset({"plans", "wants", "decided"})
_UNCUT = frozenset(
    {"name", "is called", "instruction", "deadline", "relationship", "birthday", "age", "email", "address", "number"}
)
_DAYTIMES = (
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?|mornings?|afternoons?|evenings?|nights?|weekends?|weekdays?|days?|weeks?|months?|summers?|winters?|"
    r"springs?|autumns?|holidays?|january|february|march|april|may|june|july|august|september|october|november|december|christmas|easter|"
    r"weddings|parties|birthdays|breakfast|lunch|dinner|lockdown|traffic"
)
# A clause that goes on behind a value: a relative, a contrast, a cause, or another predicate of the same subject.
_CLAUSE = re.compile(
    r" (?:that|which|who|whose|whom|where|when|whenever|while|whilst|because|cos|since|although|though|if|unless|so|but|than|rather|instead|despite|except|until|till|"
    r"before|after|during|whatever|wherever|however|even|especially|mostly|mainly|always|usually|often|anyway|apparently|unfortunately|sadly|luckily|better|best|"
    r"(?:i|we|he|she|they|nobody|everyone)(?:'\w+)?|(?:my|our|his|her|their) (?:mum|mom|dad|sister|brother|wife|husband|gran|grandma|nan|aunt|uncle|friend|boss|son|daughter)"
    r"(?= (?!and\b)[a-z])|and (?:i|we|he|she|it|they|you|my|our|then|now|never|still|always|wants?|wanted|needs?|needed|have|has|had|is|am|are|was|were|can|can't|could|"
    r"got|get|gets|don't|doesn't|didn't|haven't|won't|hates?|feels?|felt|that's|that|there|just|nothing|so|looking|trying|wondering|wanna|gonna|hoping|honestly|actually|"
    r"frankly|even|it's|he's|she's|they're|we're|i'm|i've))\b",
)
_WHEN = re.compile(
    rf" (?:on|in|at|during|over|for|by|through|every|each) (?:the |a |my |our )?(?:[\w-]+ )?(?:{_DAYTIMES}|(?:19|20)\d\d)\b",
)
_THERE = re.compile(
    r" (?:by (?:my|the|an?|train|car|bus|bike|foot)|off|round|around|somewhere|next|beside|behind|opposite|above|with|most|full|like|again|together|alone|and the|via|all (?:my|our)|means|makes|costs|out of|"
    r"just|only|doing|trying|working|living|looking|waiting|fixing)\b",
)
_DOES_TOO = re.compile(r" and [a-z].*$")
_CALLED_TOWN = re.compile(r"^(?:an?|the) (?:[\w-]+ ){0,2}?(?:village|town|city|suburb|hamlet|place) called (?=[A-Z])")
_PRAISED = re.compile(r"^(?:(?:sunny|rainy|grey|gray|windy|cold|chilly|lovely|beautiful|old|dear|good) )+(?=[A-Z])")
_IN_WHAT = re.compile(r"\s+in (?!the\b|an?\b)[a-z].*$")  # "at the airport in baggage"
_BUSY_THERE = re.compile(r"^([A-Z]\S*(?: [A-Z]\S*)*) [a-z]+ing\b.*$")
_PASTIME_UP_TO = re.compile(r" (?:for|with|in|at|on|against|to|online|well|(?!family\b)[a-z]{2,}ly)\b")
_SAID_TWICE = re.compile(r"^(?:(?:hate|love|really|absolutely|totally|just) )+", re.IGNORECASE)
# "games that test me" are not games.
_NARROWED = re.compile(r" (?:that|who|whose|what|where|which)\b")
_HANGING = re.compile(r"\s(?:to|of|for|from|about|into|than|as|and|or|the|a|an)$", re.IGNORECASE)
_WITH = re.compile(r" with (?:an?|the|my|our|your|his|her|some|no|lots|plenty|loads|all)\b")
_WITH_SOMEBODY = frozenset("working living dealing playing talking sharing being flirting collaborating".split())
_OWNED_UP_TO = re.compile(
    r" (?:with|showing|waiting|coming|listed|due|going|sitting|standing|made|on (?:order|loan|hire|the)|off|left|already|here|there|full|again|as|at|under|over|between|somewhere|named|called|"
    r"about|who's|that's|and (?:zero|no|lots|hundreds|plenty|very|too))\b",
)
_GOES_ON = re.compile(
    r" (?:because|cos|since|but|so|though|although|which|who|unless|and (?:the|i|we|he|she|it|they|my|our|you|wanna|want|need|am|is|are|was|have|has|can|can't|don't|then|that|there|no|nobody|"
    r"everyone|now|still|it's|i'm))\b",
)
_VAGUE = frozenset(
    "anything everything something whatever someone somebody anyone anybody everyone everybody nobody nothing somewhere anywhere things thing stuff".split()
)
# "the …" that tastes are of; any other is what was just spoken of.
_THE_KNOWN = re.compile(
    r"^the (?:(?:smell|sound|taste|feel|feeling|sight|texture|colou?r|noise|sensation) of\b|(?:[\w-]+ )?(?:sea|beach|seaside|mountains?|outdoors|countryside|ocean|cold|heat|rain|snow|winter|"
    r"summer|autumn|spring|city|theatre|theater|cinema|opera|ballet|gym|dentist|dark|woods|forest|market|coast|desert|sun|wind|water|night|internet|circus|80s|90s|70s|60s|"
    r"eighties|nineties|seventies|violin|piano|guitar|cello|drums|outdoor life|quiet|silence|stars|sky|news|radio|tube|office)$)",
    re.IGNORECASE,
)
_IDLE_TASTE = re.compile(
    r"^(?:every|each|another|more|most|less|certain|any|all (?:the|this|that|of)|some of|both|an? (?:man|woman|good|nice|decent|proper|bit|lot|bargain|challenge|laugh)|the (?:odd|occasional|way|fact|idea)|"
    r"(?:my|our) (?!coffee|tea|steak|eggs|curry|food|wine|beer|whisky|toast|pizza|pasta|burgers?)|to (?:be|see|hear|say|think|ask|know|get|go|do)\b|not\b|being (?:able|here|back|there|around|surrounded|told)\b|getting\b|having (?:to|you)\b|doing (?:this|that)|"
    r"everyone|people (?:who|that))",
    re.IGNORECASE,
)
_NO_FEARS = frozenset("own shadow worst commitment monday mondays success".split())
_NO_ALLERGIES = frozenset(
    "work mornings exercise people small drama housework effort commitment stress nonsense monday mondays talk cooking cleaning fun gym running maths admin responsibility "
    "adulting spreadsheets money".split()
)
_NO_MEAL = frozenset(
    "another from as like my our the this straight directly on that's alone unless these those chance problem problems time idea clue moment break card cards phone "
    "account email emails reply money second minute".split()
)
_WORK_FOR_NOBODY = frozenset(
    "man woman guy bloke lady person people someone somebody place places building same pace two three four five six seven eight nine ten a the an "
    "own it them him her myself long hours weekends ages days weeks years months very really progress peace something anything whoever".split()
)
_IDLE_PLAN = frozenset(
    "eat eating ignore ignoring sleep sleeping nap napping finish finishing drink drinking order ordering call calling ask asking stay staying wait waiting watch watching complain "
    "complaining relax relaxing rest cook cooking clean cleaning email reply text phone tell telling say saying do doing have having get getting make making take taking give giving "
    "be being see seeing put let keep keeping leave-in shower hear hearing use using try trying spend spending bring wear wearing come coming".split()
)
_IDLE_DECIDED = re.compile(
    r"\b(?:one|ones|tonight|today|tomorrow|against|it|that|this|him|her|them|you|yourself|instead)\b|^(?:stay|wait|skip|ignore|call|ask|try|give|get|do|see|let|just|be|go for|have)\b",
    re.IGNORECASE,
)
_OF_OTHERS = re.compile(r"\b(?:you|your|him|them|her|it|this|that|something|everything|anything)\b", re.IGNORECASE)
_WISHED = re.compile(
    r"^(?:become|move|quit|retire|write|study|work|travel|start|live (?:in|on|near|by|abroad|closer|somewhere)|buy|be an? (?!better|good|part|bit|member|burden)[a-z]+|"
    r"learn (?:to (?!say|let|be|stop|live|love|change|cook for)[a-z]+|(?!how|about|more|something|what|where|why|if|the|an?|from)[\w-]+(?: sign)?(?: language)?$)|"
    r"open (?:an?|my|our) (?!account|ticket|case|claim|tab|window|file|bottle|bank|new account|savings)|have (?:kids|children|a (?:baby|child|family|kid)|two|three|my own|our own))\b",
    re.IGNORECASE,
)
_CALENDAR = re.compile(
    rf"^(?:an? )?(?:{_DAYTIMES}|here|there|whence|now|then|work|school|home|bed|today|tomorrow|yesterday|scratch|experience|memory|what|past|care|money|nothing|nowhere|poverty|us|all over|the simpsons)\b",
    re.IGNORECASE,
)
_ON_PLACES = re.compile(
    r"\b(?:island|farm|boat|barge|narrowboat|houseboat|campus|coast|street|road|estate|base|ranch|reservation|avenue|lane|square|hill|outskirts|edge|smallholding|canal|river|border)\b",
    re.IGNORECASE,
)
_SMALL_AND_LONG = re.compile(r"\b(?:and|by|for|like|my|every|too|all)\b")
_NO_PASTIME = frozenset(
    "my our fool victim dumb possum host games too role tricks nice safe dead part video-call".split()
)


def without_what_goes_on(value: str, relation: str) -> str:
    """A value up to where another clause, a time or a circumstance begins. Between its words stands one space."""
    if " " not in value or relation in _UNCUT:
        return value
    if relation in _OF_DOING:
        return _up_to(_GOES_ON, value)
    if relation in _TASTES and _NARROWED.search(value.lower()):
        return ""
    value = _up_to(_CLAUSE, value)
    if not relation.startswith("favourite "):
        value = _up_to(_WHEN, value)
    if relation in _PLACED:
        value = _PRAISED.sub("", _CALLED_TOWN.sub("", _DOES_TOO.sub("", _up_to(_THERE, value))))
        if relation == "works at":
            value = _IN_WHAT.sub("", _BUSY_THERE.sub(r"\1", value))
    elif relation in _TASTES:
        without = _up_to(_WITH, value)
        value = _SAID_TWICE.sub("", value if without in _WITH_SOMEBODY else without)
    elif relation == "hobby":
        value = _up_to(_PASTIME_UP_TO, value)
    elif relation == "has":
        value = _up_to(_OWNED_UP_TO, value)
    return value


def _up_to(pattern: re.Pattern[str], value: str) -> str:
    """What stands before the first match of a pattern in small letters."""
    small = value.lower()
    found = pattern.search(small) if len(small) == len(value) else None
    return value[: found.start()] if found else value


def says_something(value: str, relation: str) -> bool:
    """Whether a value is what a person has, likes, plans and so on, and not a turn of speech."""
    doubt = _DOUBTS.get(relation)
    words = value.lower().split()
    return bool(words) and (doubt is None or not doubt(value, words))


def is_owned(value: str) -> bool:
    """Whether "I have …" speaks of a thing, an animal or a relative that a person has, and not of a turn of speech."""
    head = re.split(r"\s(?:in|near|on|by|at|of|from|for|to|and|&|plus|,|aged)\s|,", value)[0].split()
    if not head:
        return False
    last = head[-1].lower()
    return (
        head[-1][:1].isupper()
        or (len(head) > 1 and head[-2][:1].isupper() and any(sign.isdigit() for sign in last))
        or last in OWNED
        or last.removesuffix("s") in OWNED
        or last.removesuffix("es") in OWNED
        or last in PETS
        or last.removesuffix("s") in PETS
    )


def is_trade(word: str) -> bool:
    """Whether a noun that ends as trades do is one: of those in -er, -or and -ant only what is known, since most are no trade."""
    word = word.lower()
    plain = word.removesuffix("s")
    if not plain.endswith(("er", "or", "ant")) or plain.endswith(_SURE_ENDINGS):
        return True
    return bool({word, plain, plain.rpartition("-")[2]} & _TRADES)


_SURE_ENDINGS = (
    "keeper",
    "maker",
    "worker",
    "grapher",
    "writer",
    "ineer",
    "teacher",
    "driver",
    "setter",
    "fitter",
    "layer",
    "monger",
    "designer",
    "developer",
)
_TRADES = frozenset(PROFESSIONS.replace("\\s+", " ").split()) | TRADES_EN


def is_wished(value: str) -> bool:
    """Whether "I want to …" is what a person wants of life, and not of this hour."""
    return _WISHED.match(value) is not None and _OF_OTHERS.search(value) is None


def is_visited(value: str) -> bool:
    """Whether "now at the …" is where somebody is for an hour."""
    return value.lower().split()[-1] in _VISITED


_VISITED = frozenset(
    "stop vet vets doctor doctors dentist station airport hospital gym shop shops office park beach pub bar bank cinema theatre restaurant café cafe hotel mall supermarket garage counter "
    "door gate table lights end point stage age desk checkout atm library pool lake museum zoo concert match game party wedding".split()
)


def is_home_on(value: str) -> bool:
    """Whether one lives on something: an island or a farm, not toast and tea."""
    return value[:1].isupper() or _ON_PLACES.search(value) is not None


def is_left_place(value: str) -> bool:
    """Whether a name that was left is of a place on the map."""
    return value.lower() in PLACES_EN


def is_left_employer(value: str) -> bool:
    """Whether a name that was left is of an employer that is known, or has the look of one."""
    return value.lower() in EMPLOYERS or (value.isupper() and 1 < len(value) < 6 and value.lower() not in PLACES_EN)


def _is_idle_taste(value: str, words: list[str]) -> bool:
    if not _VAGUE.isdisjoint(words) or _IDLE_TASTE.match(value) or _HANGING.search(value):
        return True
    if words[0] == "the" and len(words) > 1 and not value.split()[1][0].isupper():
        return _THE_KNOWN.match(value) is None
    return words[-1] in _NOT_LOVED and len(words) < 3


def _is_no_home(value: str, words: list[str]) -> bool:
    if value != value.lower():
        return False
    if not (PLACE_WORDS | HOME_WORDS).isdisjoint(words):
        return False
    return (
        len(words) > 3 or _SMALL_AND_LONG.search(value) is not None or any(word.endswith("ing") for word in words[1:])
    )


def _is_no_origin(value: str, words: list[str]) -> bool:
    return _CALENDAR.match(value) is not None or _is_no_home(value, words)


def _is_no_employer(value: str, words: list[str]) -> bool:
    return (
        words[0] in _WORK_FOR_NOBODY
        or words[-1] in _RELATIVES
        or words[-1] in _NO_FIRM
        or value == "company"
        or words[0] == "team"
    )


def _is_idle_plan(value: str, words: list[str]) -> bool:
    if value.startswith(_REAL_PLANS):
        return False
    return words[0] in _IDLE_PLAN or _OF_OTHERS.search(value) is not None or value.lower().startswith(_NO_PLANS)


_NO_FIRM = frozenset("years pace weeks it hours ways peanuts living bottom top end free fun nothing".split())
_RELATIVES = KIN - frozenset("company startup project team".split())
_NOT_LOVED = _RELATIVES - PETS - frozenset("dogs kids children baby".split())
_NO_PLANS = ("rainy day", "few", "a few", "moving to plan", "retiring to bed", "moving to the next")


_REAL_PLANS = (
    "get married", "getting married", "get engaged", "get divorced", "getting divorced", "get a ", "get an ", "get into ", "getting a ", "take part", "have a baby", "have kids", "have children",
    "have a kid", "do a ", "do an ", "doing a ", "do my ", "spend a ", "spend the ", "spend two", "spend three", "taking a year", "take a year", "take a gap", "come back", "be a ", "trying for a", "going to ", "make a film",
    "make a documentary",
)  # fmt: skip

_DOUBTS: Mapping[str, Callable[[str, list[str]], bool]] = {
    "likes": _is_idle_taste,
    "dislikes": _is_idle_taste,
    "prefers": _is_idle_taste,
    "lives in": _is_no_home,
    "comes from": _is_no_origin,
    "works at": _is_no_employer,
    "does not eat": lambda value, words: words[0] in _NO_MEAL or words[-1] in _NO_MEAL or len(words) > 6,
    "allergic to": lambda value, words: not _VAGUE.isdisjoint(words) or not _NO_ALLERGIES.isdisjoint(words),
    "afraid of": lambda value, words: not _VAGUE.isdisjoint(words) or not _NO_FEARS.isdisjoint(words),
    "plans": _is_idle_plan,
    "decided": lambda value, words: _IDLE_DECIDED.search(value) is not None,
    "graduated from": lambda value, words: "hard knocks" in value.lower(),
    "hobby": lambda value, words: not _NO_PASTIME.isdisjoint(words),
    "diet": lambda value, words: value.lower() in ("a diet", "the diet", "diet", "strict diet", "new diet"),
}
