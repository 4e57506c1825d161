"""Values as they are kept, and whether a value is what a rule takes it for."""

import re
from collections.abc import Callable, Mapping

from interconnected_ai.memory.fact_clauses import Found
from interconnected_ai.memory.fact_guards_en import (
    is_home_on,
    is_left_employer,
    is_left_place,
    is_owned,
    is_trade,
    is_visited,
    is_wished,
    says_something,
    without_what_goes_on,
)
from interconnected_ai.memory.fact_guards_ru import russian_value
from interconnected_ai.memory.fact_words import (
    COMMANDS,
    EMPLOYERS,
    EMPTY_BEGINNINGS,
    EMPTY_VALUES,
    GIVEN_NAMES_EN,
    IDLE_ACTIONS,
    IDLE_OBJECTS,
    ILLNESSES_RU,
    KIN,
    LANGUAGES,
    NATIONALITIES,
    NO_ALLERGENS,
    NO_JOBS,
    NO_JOBS_RU,
    NO_POSSESSIONS,
    NOT_FOOD,
    NOT_NAMES,
    NOT_PLACES,
    NUMBERS_RU,
    PETS,
    PLACE_WORDS,
    PROFESSIONS,
    PROFESSIONS_RU,
    RELIGIONS,
    RUSSIAN_JOB_ENDINGS,
)
from interconnected_ai.text import is_given_name, is_place_name, lemma, normalize

_LAST_WORDS = re.compile(
    r"\s+(?:now|currently|these days|nowadays|at the moment|right now|anymore|any more|any longer|too|as well|a lot|very much|so much|more than anything|"
    r"today|yesterday|lately|recently|again|already|actually|though|since|last (?:week|month|year|summer|winter|spring|fall|autumn|night)|"
    r"this (?:week|month|year|summer)|sometimes|especially|in general|by the way|btw|everyone|all|old|haha|lol|please|thanks|tbh|cause|with|and|or|in|at|"
    r"сейчас|теперь|уже|тоже|очень|больше всего|больше|сегодня|вчера|недавно|снова|опять|с детства|вообще|кстати|и|а|с|в|на|лол|"
    r"на прошлой неделе|в прошлом (?:году|месяце)|в этом году|этим летом|весной|летом|осенью|зимой)$",
    re.IGNORECASE,
)
_FIRST_WORDS = re.compile(
    r"^(?:(?:the city of|my|our|to(?= \w)|when it comes to|ни|это|мой|моя|мою|моё|мои|свой|свою|своего|-|–|—)\s+)",
    re.IGNORECASE,
)
_FIRST_TIMES = re.compile(
    r"^(?:(?:весной|летом|осенью|зимой|скоро|завтра|потом|на следующей неделе|в следующем (?:году|месяце)|в этом году|через \w+|к \w+|в (?:январе|феврале|марте|апреле|мае|июне|июле|августе|сентябре|октябре|ноябре|декабре)) )+",
    re.IGNORECASE,
)
_SMALL = re.compile(r"(?<![\w-])[a-zа-яё][\w-]*")  # words without a capital, which would make them a name
_CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)
_PLACE_RELATIONS = frozenset({"lives in", "works at", "comes from", "studies at"})
_TASTES = frozenset({"likes", "dislikes", "prefers"})
_OF_THE_READER = frozenset(
    "your you твой твоя твоё твое твои твою твоего твоей твоих ваш ваша ваше ваши вашу вашего вашей ваших тебя вас".split()
)
# What points at something else that was said.
_OF_THE_TALK = frozenset(
    "it them him her this that these those there here yourself us its their his each "
    "его ее их него них нее тебя вас нас меня себя чего этого это этом тебе вам ним ней ему ей им про".split()
)
_PREPOSITIONS = frozenset(
    "in at on of for with from to by not very so as about into off over under than that which who no".split()
)
_PROFESSIONS = frozenset(normalize(word) for word in PROFESSIONS.replace("\\s+", " ").split())
_ILLNESSES_RU = frozenset(ILLNESSES_RU.split())
_ILLNESS_STEMS = tuple(normalize(name)[: max(4, len(name) - 2)] for name in ILLNESSES_RU.split())
_PROFESSIONS_RU = frozenset(normalize(word) for word in PROFESSIONS_RU.split())
_NO_JOBS = frozenset(NO_JOBS.split())
_LANGUAGES = frozenset(LANGUAGES.split())
_NO_WORKERS = frozenset(
    "former failed wannabe would-be aspiring lapsed future budding one-time sometime brilliant amazing fantastic excellent decent keen awful rubbish mediocre passable wonderful fussy picky big huge terrible good great better lousy natural born bit kind sort morning people total complete real bad slow fast hard heavy".split()
)
_HAS_VERB = re.compile(
    r"\b(?:is|can|has|will|was|does|says|said|are|would|should|could|must|lives|works|who|that)\b", re.IGNORECASE
)
_SEVERAL = frozenset(
    "два две три двух трёх трех четырёх четырех пяти шести семи восьми девяти десяти многих нескольких разных several many various different".split()
)
_AGO = frozenset("old day current previous new first whole own good only next".split())
_BODY = frozenset(
    "back heart knee skin stomach kidney thyroid hearing vision eye sleep joint mental lung liver bad severe chronic gut digestive iron vitamin autoimmune nerve".split()
)
_NO_FANS = frozenset(
    "heavy social big light huge morning night people day bad good nice real total great first last third second older young grumpy busy private key point missing".split()
)
_HAD = frozenset(
    "kids children car tv television pets siblings brothers sisters dog cat bike licence license phone smartphone job degree religion tattoos house garden".split()
)
_NOT_GIVEN = frozenset(
    f"{NATIONALITIES} {RELIGIONS} {LANGUAGES} aries taurus gemini leo virgo libra scorpio sagittarius capricorn aquarius pisces ok okay good sorry fine back "
    "diabetic asthmatic epileptic dyslexic autistic deaf blind disabled bipolar coeliac celiac anaemic anemic allergic divorced widowed engaged separated sober done batman ready happy sad tired bored hungry busy free new old young single married vegan vegetarian retired unemployed pregnant here home curious "
    "interested looking trying wondering thinking just not also really very so still currently afraid sure glad excited confused lost stuck late early sick".split()
)
_NO_ILLNESSES = frozenset(
    "иврит самовывоз привоз вывоз паровоз тепловоз кредит визит лимит аппетит транзит депозит санскрит прогноз мороз колхоз совхоз навоз обоз наркоз гипноз бандит магнит дебит "
    "симпатия апатия антипатия дома солома аксиома диплом идиома завоз перевоз подвоз воз симбиоз".split()
)
_AILING = re.compile(
    "болезн|синдром|расстройств|недостаточност|холестерин|давлени|альцгеймер|паркинсон|аутизм|биполярк|почк|сердц|сустав|печен|проблемы с|порок|инфекци|простуд|грипп|ковид|орви|ангин|рак$|рак |опухол|грыж|киста|камни в|паническ|тревог|спин|л[её]гки|зрени|слух|^(?:вич|окр|птср|рпп|всд|дцп|хобл|срк|гэрб|ибс)$"
)
_NO_DIAGNOSES = frozenset(
    "ошибку ошибка баг проблему работу квартиру задачу оценку пятерку двойку точку прививку укол лайк машину окна меня в на его ее их "
    "время рекорд цель условие вопрос диагноз меня диагнозом".split()
)


def value_of(found: Found) -> str:
    """The value as it is kept; "" when it says nothing, or something else than the rule takes it for."""
    rule, groups = found.rule, found.match.groupdict()
    said = groups.get("value") or groups.get("value2") or ""
    if not said and rule.fixed:
        said = {"head": found.clause.verb or found.head, "who": found.clause.who}.get(rule.fixed, rule.fixed)
    if rule.only == "pets" and found.clause.who not in PETS:
        return ""
    if rule.check and not _CHECKS[rule.check](found, normalize(said)):
        return ""
    if rule.relation == "works at":
        said = _without_job(said)
    if rule.check == "moving":
        said = f"{found.clause.verb} {found.match[0]}"
    if rule.check == "doing":
        said = f"{found.head} {said}"
    if rule.relation == "works as" and " turned " in said:
        said = said.rpartition(" turned ")[2]
    if not _CYRILLIC.search(found.match.string):
        said = _clean(without_what_goes_on(_clean(said), rule.relation))
        if not says_something(said, rule.relation):
            return ""
        if rule.relation == "lives in" and found.match[0].startswith("on ") and not is_home_on(said):
            return ""
    elif not (said := russian_value(said, rule.relation, found.match[0])):
        return ""
    return kept_value(said, rule.relation)


def _without_job(said: str) -> str:
    """«стройке разнорабочим» is «стройке»."""
    words = said.split()
    if (
        len(words) > 1
        and words[-1].endswith(("ом", "ем", "ой", "ей", "ым", "им"))
        and words[-1].islower()
        and _is_russian_job(words[-1])
    ):
        return " ".join(words[:-1])
    return said


def kept_value(said: str, relation: str) -> str:
    """A value without what trails it; "" when nothing of it says what the relation is about."""
    value = _clean(said)
    if relation in _TASTES and _OF_SAYING.match(value):
        return ""
    if relation in ("plans", "wants"):
        value = _FIRST_TIMES.sub("", value)
    if relation == "lives in" and (home := _HOME_IN.match(value)):
        value = home["place"]
    if relation.startswith("favourite ") and not _CYRILLIC.search(value):
        value = without_what_goes_on(value, relation)
    if relation == "works at" and (town := _IN_TOWN_AT.match(value)) and _is_in_town(town["town"]):
        value = town["rest"]
    if relation not in ("plans", "decided", "wants", "birthday", "age"):
        while (shorter := _LAST_WORDS.sub("", value)) != value:
            value = shorter
    value = _clean(_FIRST_WORDS.sub("", value))
    words = normalize(value).split()
    is_title = relation.startswith("favourite ") and value[:1].isupper()
    if (
        not words
        or (normalize(value) in EMPTY_VALUES and not is_title)
        or (
            words[0] in EMPTY_BEGINNINGS
            and relation != "family"
            and words[1:2] not in (["aid"], ["aids"], ["impaired"], ["loss"])
            and (relation, words) != ("illness", ["hearing"])
        )
    ):
        return ""
    if not _holds(relation, value, words):
        return ""
    if relation in ("name", "is called"):
        value = value.removesuffix("'s")
    if relation in ("name", "is called") and value == value.lower():
        value = value.title()
    return value


def _holds(relation: str, value: str, words: list[str]) -> bool:
    is_home_for_others = relation == "works at" and len(words) > 1 and words[-1] == "home"  # "a funeral home"
    if relation in _PLACE_RELATIONS and (
        words[0] in NOT_PLACES or (words[-1] in NOT_PLACES and not is_home_for_others)
    ):
        return False
    if relation in ("name", "is called"):
        return words[0] not in NOT_NAMES and len(words[0]) > 1
    if relation == "has":
        return not (
            " to " in value
            or all(word.isdigit() or word in NUMBERS_RU for word in words)
            or not NO_POSSESSIONS.isdisjoint(_SMALL.findall(value)[:6])
        )
    if relation in _TASTES:
        return (
            _OF_THE_TALK.isdisjoint(words)
            and words[0] not in ("и", "или")
            and not (_is_idle(words) or not {"is", "are", "was", "were"}.isdisjoint(words))
        )
    if relation == "afraid of":
        return _OF_THE_TALK.isdisjoint(words)
    if relation == "does not eat":
        return words[0] not in NOT_FOOD
    if relation == "allergic to":
        return words[0] not in NO_ALLERGENS and _OF_THE_READER.isdisjoint(words)
    if relation == "lives in" and words[0] in _SEVERAL:
        return False
    if relation in ("lives in", "comes from"):
        return _is_place(value, words) and (relation == "lives in" or _is_named(value, words))
    return True


def _is_place(value: str, words: list[str]) -> bool:
    """Whether what somebody lives in or comes from is a place: "the countryside" is, "the marketing team" is not."""
    if words[0] not in ("the", "a", "an") or not PLACE_WORDS.isdisjoint(words):
        return True
    return value.split()[1:2] != [] and value.split()[1][0].isupper()


def _is_named(value: str, words: list[str]) -> bool:
    """Whether a Russian place is one on the map, by its capital or the dictionary: "Я из омска", not "Я из бухгалтерии"."""
    is_written_so = value != value.lower() or not _CYRILLIC.search(value) or _NATIVES.search(value) is not None
    return is_written_so or not PLACE_WORDS.isdisjoint(words) or any(map(_is_town, words))


def _is_idle(words: list[str]) -> bool:
    """Whether a taste is of the talk itself: "the idea", "to say this"."""
    about = words[1] if words[0] == "the" and len(words) > 1 else words[0] if len(words) == 1 else ""
    if not _OF_THE_READER.isdisjoint(words):
        return True
    is_russian = bool(_CYRILLIC.search(words[0]))
    return words[0] in IDLE_ACTIONS or about in IDLE_OBJECTS or (is_russian and not IDLE_OBJECTS.isdisjoint(words))


def _clean(value: str) -> str:
    return " ".join(value.split()).strip(" \"'«»“”.,;:-–—()")


def _is_job(found: Found, value: str) -> bool:
    words = value.split()
    if (
        not words
        or words[0].endswith("ing")
        or words[0].isdigit()
        or words[-1].startswith("ex-")
        or words[0] in ("my", "our", "your", "his", "her", "their")
        or not _PREPOSITIONS.isdisjoint(words[:-1])
        or (words[-1] in _NO_JOBS and not (words[-1] == "specialist" and len(words) > 1))
        or words[-1] in KIN - _PROFESSIONS
    ):
        return False
    if not _NO_WORKERS.isdisjoint(words[:-1]) or words[-2:] == ["role", "model"] or not is_trade(words[-1]):
        return False
    if (
        found.match.string[found.match.end("value") :].startswith((" of this", " of my", " of our", " of philosophy"))
        or words[0] in COMMANDS
    ):
        return False
    if words[-1] == "student" and re.search(r"\b(?:at|of|in)\b", found.match.string[found.match.end("value") :]):
        return False
    if found.head == "bare" and words[-1] not in _PROFESSIONS and words[-1].removesuffix("s") not in _PROFESSIONS:
        return False
    if found.head == "bare" and found.match.string.lower().startswith(
        ("my ", "our ", "the ", "his ", "her ", "your ", "their ")
    ):
        return False
    if found.head == "bare" and _HAS_VERB.search(found.match.string[found.match.end() :]):
        return False
    said = found.match[0].lower()
    return (
        said.startswith(("a ", "an ", "the ", "now a"))
        or found.head not in ("be", "been", "bare")
        or any(word in _PROFESSIONS or word.removesuffix("s") in _PROFESSIONS for word in words)
    )


def _is_job_at(found: Found, value: str) -> bool:
    before = normalize(found.match.string[: found.match.start("value")])
    job = re.sub(r"^(?:an?|the) | (?:here )?(?:at|for|with)(?: an?| the| my| our| this| some)? $", "", before)
    return _is_job(found, job) and not job.endswith("student") and value.split()[:1] not in (["heart"], ["life"])


def _is_town(value: str) -> bool:
    """Whether the dictionary knows a Russian word as a place on the map."""
    return bool(value) and is_place_name(value.split()[-1])


def _is_in_town(value: str) -> bool:
    """Whether a value is a town and nothing else: «работаю в Питере» names no employer."""
    words = [word for word in re.split(r"[\s-]+", value.lower()) if word not in _OF_TOWNS]
    return all(word in _TOWNS_SAID or is_place_name(word) for word in words)


# How names of towns begin, and what towns are called among people.
_OF_TOWNS = frozenset(
    "великий великом нижний нижнем нижнего старый старом новый новом на дону город городе центре центр самом самой".split()
)
_TOWNS_SAID = frozenset(
    "спб мск екб нск нн крд питер питере питера питеру мо екат екате ебург ебурге челяба челябе владик владике хабара новосиб новосибе нижний нижнем столице столицу столицы".split()
)
_MEDICINE_RU = re.compile(
    r"(?:кроверазжижающи|разжижающи|успокоительн|обезболивающ|снотворн|противозачаточн|антикоагулянт|прил|сартан|статин|азол|мицин|циллин|флоксацин|формин|глиптин|фл[ио]зин|сетин|пам|лам|оксетин|алопрам|тралин|триптилин|золам|пин|дипин|олол|ксабан|тироксин|тирокс|"
    r"профен|фенак|сулид|парин|преднизолон|солон|золон|ламид|семид|гидрал|терол|тропий|сонид|тадин|цетиризин|ризин|лукаст|вир|инсулин|аспирин|анальгин|пенициллин|новокаин|лидокаин|"
    r"ибупрофен|парацетамол|кодеин|морфин|трамадол|кетанов|нурофен|но-шпа|мелатонин|фенибут|афобазол|грандаксин|конкор|кардиомагнил|глюкофаж|сиофор|омез|золофт|прозак|феварин|"
    r"лирика|ламиктал|вальпроат|депакин|финлепсин|кеппр|метотрексат|железо|магний|омега|литий|гормоны|антидепрессант\w*|антибиотик\w*|витамин\w*|транквилизатор\w*|нейролептик\w*|"
    r"таблетк\w*|(?:кроверазжижающ|разжижающ|успокоительн|обезболивающ|снотворн|противозачаточн)\w+|статины|сорбифер|детралекс|мексидол|глицин|эналаприл|каптоприл|лозартан|бисопролол)(?:а|у|е|ом|ы|ов|ах|ами)?$"
)
_SUBJECTS = frozenset(
    "law nursing medicine dentistry physics chemistry biology maths mathematics history english literature psychology philosophy economics engineering architecture accounting business finance "
    "sociology anthropology geography geology linguistics journalism art design music theology politics pharmacy marketing biochemistry neuroscience statistics education archaeology astronomy "
    "classics".split()
)
# What is quit without having been worked at.
_FEEDS = frozenset(
    "twitter facebook instagram tiktok whatsapp netflix linkedin reddit youtube spotify x duolingo tinder snapchat".split()
)
# How medicines end, and medicines that end otherwise.
_MEDICINES_EN = tuple(
    (
        "pril sartan statin olol dipine prazole formin gliptin gliflozin xaban thyroxine thyroxin oxetine alopram traline triptyline zepam zolam zodone cillin "
        "mycin floxacin cycline profen codone codeine morphine tramadol pregabalin gabapentin lamotrigine lithium insulin warfarin heparin aspirin methotrexate "
        "prednisone prednisolone steroids antidepressants antidepressant antibiotics antibiotic statins blockers ssris ssri hrt pill melatonin antihistamines "
        "cetirizine loratadine salbutamol ventolin ozempic mounjaro wegovy thinners painkillers tablets inhaler semaglutide tirzepatide ritalin adderall vyvanse concerta elvanse methylphenidate "
        "prozac zoloft lexapro wellbutrin bupropion mirtazapine quetiapine olanzapine risperidone aripiprazole levodopa tamoxifen finasteride paracetamol "
        "nurofen naproxen valium xanax humira infliximab adalimumab dupixent vitamin vitamins magnesium zinc chemo"
    ).split()
)


def _is_medicine_en(value: str) -> bool:
    return (
        (value.endswith(_MEDICINES_EN) and not value.endswith("spill"))
        or value.startswith("vitamin ")
        or value in ("iron", "iron tablets")
    )


def _is_parted(found: Found, value: str) -> bool:
    """Whether "put down", "wrote off" and their like are of a pet or a car."""
    said = found.clause.said.lower()
    last = value.split()[-1]
    if found.head == "put":
        return last in PETS and (" down" in said or " to sleep" in said)
    return found.head != "wrote" or " off" in said


_NO_MEDICINE = frozenset(
    "апельсин мандарин магазин бензин витаминка жасмин розмарин тмин вермут сапсан барин грузин".split()
)


def _is_medicine_ru(value: str) -> bool:
    return _MEDICINE_RU.search(value) is not None and value not in _NO_MEDICINE


_JOB_PREFIX = re.compile(
    "^(?:авиа|авто|радио|электро|кино|видео|фото|теле|био|гео|агро|нейро|звуко|газо|спец|веб|аэро|микро|соц|психо|физио|вет)(?=[а-яё]{5})"
)


def _is_russian_job(word: str) -> bool:
    word = word.rpartition("-")[2] or word  # «шеф-повар», «дизайнер-верстальщик»
    form = lemma(normalize(word))
    plain = _JOB_PREFIX.sub("", form)
    if plain != form and (plain in _PROFESSIONS_RU or lemma(plain) in _PROFESSIONS_RU):
        return True
    return (
        form in _PROFESSIONS_RU
        or normalize(word) in _PROFESSIONS_RU
        or (form.endswith(RUSSIAN_JOB_ENDINGS) and form not in NO_JOBS_RU)
    )


def _job_word(found: Found, value: str) -> str:
    said = normalize(found.match.groupdict().get("job") or (value.split() or [""])[-1])
    return said.rpartition("-")[2] or said


def _is_instrumental_job(found: Found, value: str) -> bool:
    word = _job_word(found, value)
    if word in _INDECLINABLE:
        return True
    return word.endswith(("ом", "ем", "ой", "ей", "ею", "ым", "им")) and _is_russian_job(word)


def _is_nominative_job(found: Found, value: str) -> bool:
    word = _job_word(found, value)
    if value.startswith(("бывш", "экс-")):
        return False
    if found.head == "bare" and lemma(word) not in _PROFESSIONS_RU and word not in _PROFESSIONS_RU:
        return False
    if found.clause.who in ("родители", "дети"):
        return _is_russian_job(word)
    return _is_russian_job(word) and (lemma(word) == word or word in _PROFESSIONS_RU)


def _is_illness(found: Found, value: str) -> bool:
    words = value.split()
    if words[-1].endswith("phobia") and found.match.string[found.match.end("value") :].startswith(" of"):
        return False
    return (
        words[-1] not in ("problems", "issues", "condition", "deficiency", "disorder", "intolerance")
        or not _BODY.isdisjoint(words)
        or (words[-1] in ("disorder", "intolerance") and len(words) > 1)
    )


_OF_SAYING = re.compile(r"это [а-яё]+ть(?![\w-])", re.IGNORECASE)  # «ненавижу это говорить»
_NOT_LEARNT = re.compile(
    r"вариант|договор|вопрос|рынок|документ|материал|предложени|меню|карт|инструкц|код(?!\w)|отч[её]т|стать|тем[уы]|данн|ситуац|возможност|кажд|эт[оуи]|ваш|тво|сайт|отзыв|услови|проблем"
)
_NATIVES = re.compile(
    "^[а-яё]{4,}(?:вич|чанин|жанин|янин|анин|вичка|чанка|жанка|янка|анка|ситка|сит|ляк|лячка|итянин|ец)$"
)  # «коренной москвич»
# "a tiny flat in Soho" is Soho.
_HOME_IN = re.compile(
    r"^(?:an?|the) (?:[\w'-]+ ){0,4}?(?:flat|house|apartment|room|studio|place|cottage|bungalow|bedsit|loft|caravan|houseboat|farmhouse|bedroom|condo|semi|terrace) "
    r"(?:in|near|outside|on) (?P<place>(?-i:[A-Z]).*)$",
    re.IGNORECASE,
)
_IN_TOWN_AT = re.compile(r"^(?P<town>[А-ЯЁа-яё-]+(?: [А-ЯЁ][а-яё-]+)?) (?:в|на) (?P<rest>[а-яё].*)$")
_FOOD_RU = re.compile(
    "креветк|краб|мидии|устриц|кальмар|арахис|миндал|фундук|икр[уа]|фасол|горох|чечевиц|сосиск|пельмен|макарон|картош|картофел|огурц|баклажан|авокадо|киви|персик|арбуз|сельдере|кинз|укроп|майонез|"
    "спиртн|выпивк|фастфуд|колбас|газировк|молочн|полуфабрикат|булк|булок|выпечк|конфет|чипс|соль|соли|сол[её]н|каш|овсянк|гречк|печен|бобов|грибы|грибов|виноград|банан|апельсин|мандарин|яблок|капуст|сливк|сметан|творог|кефир|молочк|молок|глютен|сладк|мяс|рыб(?!ал)|орех|сахар|мучн|лактоз|яйц|алкогол|остр|жирн|жарен|хлеб|кофе|(?<![а-яё])м[её]д(?!иц|и|н)|цитрус|морепродукт|свинин|говядин|солен|солён|пив[оаеу]|(?<![а-яё])вин[оаеу](?!г)|чай|сыр|лук|чеснок|шоколад|клубник|томат|помидор"
)
_GIVEN = re.compile(
    r"\b(?:барабан|аккордеон|баян|скрипк|виолончел|лыж|сноуборд|коньк|аквариум|кролик|крыс|черепах|рыбок|шиншил|лошад|коз|птиц|хорьк|приставк|планшет|холодильник|стиралк|прицеп|лодк|гараж|дол[юи](?!\w)|тачк|авто|приор|пианино|синтезатор|кровать|кресл|игрушк|вещи|кошеч|щено|попуга|хомяк|пса(?!\w)|пёс|пес(?!\w)|машин|квартир|дом|дач|собак|кошк|кот|пианин|гитар|велосипед|телефон|ноут|комп|шкаф|диван|коляск|книг|щен|телевизор|самокат|мотоцикл)"
)
_WORK_PLACES = re.compile(
    r"школ|банк|компани|фирм|больниц|полици|арми|завод|офис|университет|магазин|служб|найм|професси|редакци|стартап|поликлиник|клиник|институт|театр|музе|ресторан|кафе|бизнес|айти|такси|агентств|министерств|продаж|маркетинг|декрет|лаборатор|фабрик|газет|телевид|радио|издательств|телеканал|мэри|администрац|налогов|почт|ателье|салон|детсад|садик|турфирм|таможн|вокзал|аэропорт|депо|цех|склад|типографи|колл-центр|госслужб|гимнази|лице[йяе]|вуз|кафедр|консалтинг|фонд|нко(?!\w)|нпо(?!\w)|ржд|метро(?!ном)|холдинг|корпорац|концерн|комбинат|центр|бюро|управлени|департамент|комитет|мфц|автосервис|сервис|доставк|шахт|рудник|порт(?![рф])|автопарк|фитнес|турагентств|химчистк|прачечн|пекарн|кофейн|част[ьи](?!\w)|подстанц|стоматолог|роддом|диспансер|хоспис|интернат|детдом|приют|заповедник|лесхоз|совхоз|агрофирм|элеватор|маркетплейс|строй|библиотек|аптек|суд|прокуратур|мчс|нии"
)


_VISITED = re.compile("^(?:офис|магазин|больниц|кафе|ресторан|аптек|театр|музе|университет|библиотек|клиник|суд|школ)")
_PETS_RU = re.compile(
    "собак|собач|^пс[аи]?|^п[её]с|^кот|кошк|кошеч|щен|овчарк|лабрадор|хомя|крыс|кролик|попуга|такс|хаски|лошад|^кон[ья]|корги|пудел|мопс|хорьк"
)


def _is_work_place(value: str) -> bool:
    return (value != value.lower() and not _is_in_town(value)) or _WORK_PLACES.search(value.lower()) is not None


def _is_known_illness(value: str) -> bool:
    words = [lemma(word) for word in value.split()]
    if any(word.startswith(_ILLNESS_STEMS) for word in value.split()):
        return True
    return any(
        word in _ILLNESSES_RU
        or (word.endswith(("ит", "оз", "емия", "алгия", "патия", "фобия", "ома")) and word not in _NO_ILLNESSES)
        for word in words
    ) or bool(_AILING.search(value))


_INDECLINABLE = frozenset({"бариста", "портье", "крупье", "кутюрье", "диджей"})


_LOST = frozenset("licence license house home flat farm business shop".split())


def _is_sold(found: Found, value: str) -> bool:
    said = found.clause.said.lower()
    needed = {
        "gave": (" to ", " away"),
        "got": (" rid of",),
        "had": (" to sell", " to give away", " to rehome", " to put"),
    }
    if found.head == "lost":
        return not (PETS | _LOST).isdisjoint(value.split())
    return found.head not in needed or any(word in said for word in needed[found.head])


def _is_hired(found: Found, value: str) -> bool:
    said = found.match["value"]
    is_of_work = found.clause.verb.lower().startswith(("увол", "устро"))
    return (is_of_work and not _is_in_town(value)) or _is_work_place(said)


_HOUSING = re.compile(
    "квартир|комнат|дом|студи|жиль|однушк|двушк|тр[её]шк|угол|койк|коттедж|таунхаус|хат|общаг|офис|помещени|гараж|дач"
)
_BRED = re.compile(
    r"пч[её]л|кур|коз|кролик|перепел|рыб|собак|кош|кот|птиц|голуб|лошад|овец|свин|инд[юе]|улит|цвет|роз|орхиде|попуга|гус|ут[оя]к|страус|мейн|щен|хаски|корги|черв|рак|форел|кактус"
)
_YOUNG = frozenset(
    "son daughter nephew niece grandson granddaughter kid kids child children boy girl twins stepson stepdaughter".split()
)
_NOT_STUDIED = frozenset(
    "часы рельсы курс курса счёт счет карту тариф режим язык русский английский день ночь зиму лето время".split()
)


_CHECKS: Mapping[str, Callable[[Found, str], bool]] = {
    "job": _is_job,
    "job at": _is_job_at,
    "not old": lambda found, value: _AGO.isdisjoint(value.split()),
    "company": lambda found, value: (
        " for " not in found.match.string
        and value.split()[0] not in ("my", "the", "a")
        and not (found.head == "quit" and value in _FEEDS)
    ),
    "place": lambda found, value: (
        " in " in found.match[0] or " near " in found.match[0] or found.match["value"][:1].isupper()
    ),
    "language": lambda found, value: (
        bool(_LANGUAGES.intersection(value.split())) or value.split()[-1] in ("guitar", "piano", "lessons", "classes")
    ),
    "ill": _is_illness,
    "diagnosed": lambda found, value: (
        (
            _is_known_illness(value)
            or (found.clause.verb or found.head).lower().startswith(("diagnos", "постав", "диагн", "выяв"))
            or "diagnosed" in found.match[0].lower()
        )
        and value.split()[0] not in _NO_DIAGNOSES
    ),
    "fan": lambda found, value: (
        _NO_FANS.isdisjoint(value.split())
        and _PREPOSITIONS.isdisjoint(value.split())
        and value.split()[0] not in COMMANDS
    ),
    "owned": lambda found, value: (
        found.head in ("own", "drive", "ride")
        or (is_owned(found.match["value"]) and not found.match.string[found.match.end("value") :].startswith(" to "))
    ),
    "no town left": lambda found, value: not is_left_place(value),
    "doing": lambda found, value: True,
    "started": lambda found, value: (
        not is_left_place(value) and not value.endswith(("uni", "university", "college", "bottom"))
    ),
    "place name": lambda found, value: value not in _LANGUAGES and value not in _SUBJECTS,
    "no place name": lambda found, value: (
        not found.match["value"][:1].isupper()
        or " " in value
        or value in _SUBJECTS
        or not _LANGUAGES.isdisjoint(value.split())
    ),
    "wished": lambda found, value: is_wished(found.match["value"]),
    "not visited": lambda found, value: not is_visited(value),
    "left employer": lambda found, value: is_left_employer(found.match["value"]),
    "left place": lambda found, value: is_left_place(found.match["value"]),
    "back at": lambda found, value: " work " in f"{found.match[0]} " or value in EMPLOYERS,
    "sold": _is_sold,
    "had": lambda found, value: found.head == "nomore" or value.split()[-1] in _HAD,
    "died": lambda found, value: found.head in ("died", "passed") or found.match[0].strip() != "",
    "city": lambda found, value: (
        _is_town(value) and re.search(r"(?<!\w)(?:теперь|сейчас|уже)(?!\w)", found.clause.full.lower()) is not None
    ),
    "instrumental job": _is_instrumental_job,
    "nominative job": _is_nominative_job,
    "job there": lambda found, value: (
        _is_nominative_job(found, "") and not (len(value.split()) == 1 and _is_town(value))
    ),
    "job in town": lambda found, value: _is_nominative_job(found, "") and _is_town(value),
    "town": lambda found, value: _is_town(value),
    "given name": lambda found, value: value not in _NOT_GIVEN and value not in _PROFESSIONS,
    "medicine": lambda found, value: (
        all(map(_is_medicine_ru, value.split(" и ")))
        if _CYRILLIC.search(value)
        else all(map(_is_medicine_en, value.split(" and ")))
    ),
    "job now": lambda found, value: (
        (found.head not in ("was", "got") and _is_job(found, value))
        or (
            re.match("hired|promoted|made|appointed", found.match[0].lower()) is not None
            and (value.startswith("head of ") or _is_job(found, value))
        )
    ),
    "known employer": lambda found, value: value in EMPLOYERS,
    "of a child": lambda found, value: found.clause.who in _YOUNG,
    "common name": lambda found, value: value in GIVEN_NAMES_EN,
    "no company": lambda found, value: found.match["value"].lower() not in EMPLOYERS,
    "parted with": _is_parted,
    "employer": lambda found, value: " над " not in f" {found.match.string} " and not _is_in_town(value),
    "no town": lambda found, value: not _is_in_town(value),
    "work place again": lambda found, value: (
        found.match.string.endswith(" работать")
        or (
            found.clause.verb.lower().startswith("верну")
            and _WORK_PLACES.search(value) is not None
            and not _VISITED.search(value)
        )
    ),
    "instrumental job there": lambda found, value: _is_instrumental_job(found, "") and not _is_in_town(value),
    "introduced": lambda found, value: not _is_town(value),
    "new name": lambda found, value: re.search(r"(?<!\w)теперь(?!\w)", found.clause.full.lower()) is not None,
    "date": lambda found, value: any(sign.isdigit() for sign in value) or len(value.split()) > 1,
    "name": lambda found, value: (
        not value.endswith(("ться", "им", "ым", "ой", "ом", "ем")) or found.match["value"][:1].isupper()
    ),
    "greeting": lambda found, value: is_given_name(value.split()[0]),
    "quit": lambda found, value: found.clause.verb.lower().startswith("увол") or "с работы" in found.match[0],
    "work place": lambda found, value: (
        not (
            found.clause.verb.lower().startswith("выш")
            and _VISITED.search(value)
            and "на работу" not in found.clause.said
        )
        and _is_hired(found, value)
    ),
    "somewhere": lambda found, value: (
        found.clause.verb.lower().startswith(("перее", "перебр", "пересел", "перекоч", "эмигр", "релоц"))
        or found.match["value"] != found.match["value"].lower()
        or any(map(_is_town, value.split()))
    ),
    "somewhere from": lambda found, value: (
        found.match["value"] != found.match["value"].lower()
        or any(map(_is_town, value.split()))
        or not PLACE_WORDS.isdisjoint(value.split())
    ),
    "thing given": lambda found, value: (
        any(map(_PETS_RU.search, value.split()))
        if found.clause.verb.lower().startswith("усып")
        else not found.clause.verb.lower().startswith(("отда", "подар", "разбил", "утопил"))
        or _GIVEN.search(value) is not None
    ),
    "infinitive": lambda found, value: (
        any(word.endswith(("ть", "ться", "ти", "чь", "тись")) for word in value.split()[:3])
        or (found.head == "plan" and not found.clause.verb.lower().startswith("наде"))
    ),
    "driven": lambda found, value: (
        found.match.string.startswith("на ")
        or re.match("автобус|трамва|троллейбус|фур|такси|маршрутк|поезд", value) is None
    ),
    "in town": lambda found, value: any(map(_is_town, value.split())) or not found.match["value"][:1].isupper(),
    "rented": lambda found, value: (
        found.head != "rent" or value != found.match["value"] or _HOUSING.search(found.match.string.lower()) is not None
    ),
    "bred": lambda found, value: (
        not found.clause.verb.lower().startswith(("развож", "развод")) or _BRED.search(value) is not None
    ),
    "baked": lambda found, value: found.clause.verb.lower().startswith("пек"),
    "entered": lambda found, value: (
        found.clause.verb.lower().startswith("перев")
        and not found.clause.who
        and _NOT_STUDIED.isdisjoint(value.split())
    ),
    "food ru": lambda found, value: _FOOD_RU.search(value) is not None,
    "dream": lambda found, value: (
        re.match("об? (?:сво|собствен|дом|дач|собак|кошк|коте|дет|реб|машин|переезд|велосипед|мотоцикл|карьер)", value)
        is not None
        or any(word.endswith(("ть", "ться", "ти", "чь", "тись")) for word in value.split()[:2])
    ),
    "known illness": lambda found, value: _is_known_illness(value),
    "изучаю": lambda found, value: (
        found.clause.verb.lower().startswith(("изуча", "осваива")) and _NOT_LEARNT.match(value) is None
    ),
    "хор": lambda found, value: re.search("хор|ансамбл|групп|капелл", value) is not None,
    "moving": lambda found, value: True,
    "stolen": lambda found, value: (
        re.search("угнал|украл", found.match.string.lower()) is not None or found.head == "stolen"
    ),
    "parted": lambda found, value: found.clause.verb.lower().startswith(("развел", "развёл", "разош", "разбеж")),
    "расстался": lambda found, value: found.clause.verb.lower().startswith("расстал"),
    "заикаюсь": lambda found, value: found.clause.verb.lower().startswith("заика"),
}
