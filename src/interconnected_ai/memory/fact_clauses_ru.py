"""Russian sentences as clauses of the author and of kin, the verb first: «в Осаке я всё ещё живу» → live в Осаке."""

import re
from collections.abc import Iterator
from itertools import pairwise

from interconnected_ai.memory.caseless import Caseless
from interconnected_ai.memory.fact_clauses import Clause
from interconnected_ai.memory.fact_words import FEMALE_KIN, KIN_RU, MALE_KIN, NUMBERS_RU, PETS
from interconnected_ai.text import is_given_name

_NOBODY = None

# Verbs by what they say: of the author now | of others now | what was, as it is said of a man.
_VERBS = {
    "live": "живу живем проживаю проживаем обитаю обитаем базируюсь поживаю ютимся|живет живут проживает проживают обитает|жил проживал пожил",
    "rent": "снимаю снимаем арендую арендуем|снимает снимают|снимал",
    "rented": "||снял арендовал",
    "work": "работаю работаем тружусь трудимся служу подрабатываю вкалываю пашу фрилансю волонтерю стажируюсь шабашу|"
            "работает работают трудится трудятся служит служат подрабатывает фрилансит|работал трудился служил подрабатывал проработал",
    "teach": "преподаю|преподает преподают|преподавал",
    "moved": "||переехал перебрался переселился эмигрировал иммигрировал осел обосновался укатил свалил перекочевал перебазировался поселился вернулся релоцировался репатриировался уехал съехал съехался",
    "moving": "переезжаю переезжаем переезжает переберусь переедем перееду|переезжает|",
    "born": "||родился родом",
    "grew": "||вырос рос",
    "come": "||приехал",
    "study": "учусь учимся обучаюсь|учится учатся обучается|учился",
    "entered": "||поступил перевелся зачислился",
    "finished": "||окончил закончил выпустился защитил",
    "dropped": "||отчислился потерял забрал бросил забросил перестал прекратил завязал отказался исключил",
    "enrolled": "||записался",
    "found": "||нашел",
    "raise": "воспитываю воспитываем ращу растим|воспитывает растит|",
    "dream": "мечтаю мечтаем|мечтает|",
    "expelled": "отчислили выгнали исключили||",
    "learn": "учу изучаю осваиваю изучаем берусь|изучает учит осваивает|взялся научился",
    "started": "начинаю|начинает|начал стал",
    "speak": "говорю владею болтаю шпрехаю понимаю знаю говорим разговариваю|говорит владеет говорят знает понимает|",
    "like": "люблю обожаю любим обожаем|любит обожает любят обожают|любил обожал полюбил",
    "fond": "увлекаюсь фанатею тащусь балдею кайфую угораю торчу увлекаемся прусь|увлекается фанатеет тащится балдеет|увлекался",
    "tookup": "||увлекся подсел",
    "pleases": "нравится нравятся заходит||нравился",
    "unlike": "разонравился разонравилась разонравилось|разлюбила|разлюбил разонравился",
    "hate": "ненавижу недолюбливаю презираю|ненавидит ненавидят|ненавидел",
    "bear": "выношу перевариваю переношу терплю переносим|выносит переваривает переносит|",
    "prefer": "предпочитаю предпочитаем|предпочитает|",
    "fear": "боюсь боимся|боится|боялся",
    "eat": "ем едим кушаю употребляю жру|ест едят употребляет кушает|ел",
    "drink": "пью пьем|пьет пьют|пил",
    "smoke": "курю|курит|курил",
    "feed": "питаюсь|питается|",
    "sold": "||продал отдал подарил избавился сбыл пристроил разбил усыпил распродал утопил",
    "bought": "||купил завел взял приобрел прикупил отхватил приютил подобрал унаследовал построил удочерил усыновил",
    "swapped": "||пересел сменил поменял променял",
    "keep": "держу держим развожу разводим|держит держат разводит|держал",
    "have": "имею имеем|имеет имеют|имел",
    "drive": "вожу езжу катаюсь|водит ездит катается|ездил катался",
    "wear": "ношу|носит|носил",
    "quit": "||уволился ушел",
    "quitting": "увольняюсь|увольняется|",
    "fired": "уволили сократили выгнали выперли поперли турнули||",
    "hired": "взяли приняли||",
    "promoted": "повысили назначили||",
    "joined": "||устроился вышел перешел нанялся",
    "joining": "выхожу устраиваюсь перехожу|выходит|",
    "became": "||стал сделался",
    "married": "|разводится|женился поженились обручился расписались",
    "parted": "||расстался разошелся развелся разбежался",
    "dating": "встречаюсь|встречается|",
    "plan": "планирую собираюсь намереваюсь собираемся планируем надеюсь|собирается планирует|собирался",
    "saving": "коплю копим откладываю||",
    "expecting": "ждем жду|ждет|",
    "want": "хочу|хочет|хотел",
    "decided": "||решил договорились",
    "write": "пишу|пишет|",
    "play": "играю гоняю режусь рублюсь|играет играют|играл",
    "practise": "занимаюсь|занимается|занимался",
    "go": "хожу ходим|ходит ходят|ходил",
    "collect": "собираю коллекционирую|собирает коллекционирует|собирал",
    "sing": "пою|поет|",
    "create": "рисую бегаю вяжу шью танцую плаваю вышиваю паяю леплю фотографирую лазаю ныряю шахматирую рыбачу велосипежу вальсирую чеканю музицирую фехтую|рисует бегает вяжет шьет танцует плавает вышивает лепит фотографирует|рисовал бегал вязал шил танцевал плавал вышивал фехтовал лепил фотографировал рыбачил",
    "ill": "болею страдаю мучаюсь заикаюсь|болеет страдает мучается заикается|",
    "diagnosed": "поставили диагностировали обнаружили нашли выявили||",
    "retrain": "переучиваюсь переобучаюсь переквалифицируюсь|переучивается|переучился переквалифицировался",
    "bake": "пеку варю мастерю реставрирую выпиливаю выращиваю|печет мастерит|",
    "freelance": "репетиторствую|репетиторствует|",
    "take": "принимаю колю|принимает колет|принимал колол",
    "weigh": "вешу|весит|",
    "called": "зовут звать кличут зовите зови называют называйте называй||",
    "named": "назвали назвал назвала||",
    "got": "||получил оформил",
    "suffered": "||перенес пережил",
    "filed": "||написал подал",
    "went": "||пошел",
    "commute": "мотаюсь||",
    "died": "||умер скончался погиб сбежал пропал",
    "watch": "смотрю|смотрит|",
    "read": "читаю|читает|читал",
    "can": "умею|умеет|умел",
    "stolen": "угнали украли сперли стащили увели||",
    "closed": "||закрыл свернул ликвидировал",
    "prescribed": "||прописал выписал назначил",
    "forbade": "||запретил противопоказал",
    "willbe": "буду|будет|",
    "annoys": "бесят раздражают||",
    "run": "управляю руковожу заведую|управляет руководит заведует|",
}  # fmt: skip


def _forms() -> dict[str, tuple[str, str]]:
    """Form → (what it says, whose it is): "author", "kin", or "past" of either."""
    found: dict[str, tuple[str, str]] = {}
    for verb, forms in _VERBS.items():
        own, others, past = forms.split("|")
        found |= dict.fromkeys(others.split(), (verb, "kin"))
        found |= dict.fromkeys(own.split(), (verb, "author"))
        for form in past.split():
            found[form] = (verb, "past")
            if form.endswith("шелся"):
                found |= {form[:-4] + end: (verb, "past") for end in ("лась", "лись", "лось")}
            elif form.endswith("ся"):
                stem = form[:-2] if form.endswith("лся") else ""
                found |= {stem + end: (verb, "past") for end in ("ась", "ись", "ось") if stem}
            elif form.endswith("шел"):
                found |= {form[:-2] + end: (verb, "past") for end in ("ла", "ли")}
            elif form.endswith(("л", "с")):
                stem = form if form.endswith("л") else form + "л"
                found |= {stem + end: (verb, "past") for end in ("а", "и", "о")}
        found |= {
            form: (verb, "past") for form in ("умерла", "умерли", "расписались", "вышла") if verb == _SHORT.get(form)
        }
    return found


_SHORT = {"умерла": "died", "умерли": "died", "расписались": "married", "вышла": "joined"}
_FORMS = _forms()
_IMPERSONAL = frozenset("expelled fired hired promoted diagnosed called named stolen pleases annoys".split())
# What had to be done was done.
_DONE = {
    "отдать": "отдал", "продать": "продал", "подарить": "подарил", "усыпить": "усыпил", "уволиться": "уволился", "уйти": "ушел",
    "бросить": "бросил", "забросить": "забросил", "переехать": "переехал", "съехать": "съехал", "вернуться": "вернулся",
    "избавиться": "избавился", "купить": "купил", "взять": "взял", "завести": "завел", "пристроить": "пристроил", "сменить": "сменил", "устроиться": "устроился",
}  # fmt: skip
_HAD_TO = Caseless(
    rf"(?<![\w-])(?P<before>не )?(?:пришлось|довелось)(?P<between>(?: [\w-]+){{0,4}}?) (?P<done>{'|'.join(_DONE)})(?![\w-])"
    rf"|(?<![\w-])(?P<first>{'|'.join(_DONE)})(?P<after>(?: [\w-]+){{0,3}}?) (?:пришлось|довелось)(?![\w-])",
)
# Whose word about one's health is not told as somebody's doing: «врач прописал» is «прописали».
_DOCTORS_DO = "прописал выписал назначил запретил поставил обнаружил нашел нашёл нашл выявил".split()
_DOCTORS = Caseless(
    r"(?<![\w-])(?:(?:лечащ|участков|семейн)\w+ )?(?:врачи?|доктора?|терапевт|кардиолог|невролог|эндокринолог|аллерголог|гастроэнтеролог|психиатр|"
    r"дерматолог|ревматолог|гинеколог|уролог|педиатр|онколог|окулист|лор|диетолог|стоматолог)(?: мне)? "
    r"(?=(?:[\w-]+ ){0,2}?(?:прописал|выписал|назначил|запретил|поставил|обнаружил|нашел|нашёл|выявил)[аи]?(?![\w-]))"
    r"|(?<=\w )(?:врач|доктор|терапевт|кардиолог|невролог|эндокринолог|аллерголог|гастроэнтеролог|психиатр|дерматолог|диетолог) "
    r"(?=(?:прописал|выписал|назначил|запретил|поставил|обнаружил|нашел|нашёл|выявил)[аи]?(?![\w-]))",
)
# What follows makes a past that lasted one that is over: «ездил на приоре, теперь взял джили».
_SINCE_THEN = re.compile(
    r"(?<![\w-])(?:(?:теперь|сейчас|щас|ныне|нынче)(?![\w-])|(?:переучил|переквалифицировал|переобучил)\w+)",
    re.IGNORECASE,
)
_BEGINS_NOW = re.compile(
    r"^(?:и |а |но |ну )*(?:теперь|сейчас|щас|ныне|нынче)(?![\w-])|(?<![\w-])теперь(?![\w-])|(?<![\w-])(?:переучил|переквалифицировал|переобучил)\w+",
    re.IGNORECASE,
)
_UNTIL_THEN = re.compile(
    r"(?<![\w-])до (?:декрета|пенсии|развода|свадьбы|переезда|армии|войны|ковида|пандемии|школы|института|универа|родов|замужества|травмы|этого|того)(?![\w-])",
    re.IGNORECASE,
)
_FROM_ELSEWHERE = re.compile(r"(?<![\w-])(?:приют|питомник|улиц|роддом|домой|к себе)", re.IGNORECASE)
_OBLIQUE = re.compile(r"(?:[ую]|о[йм]|е[йм]|е|ого)$")
_ANIMATE = frozenset(
    "кота пса сына мужа щенка попугая хомяка котёнка котенка кролика лабрадора брата отца деда друга парня жениха соседа внука".split()
)

_UNITS = "(?:лет|год(?:а|у|ом)?|годик(?:а|ов)?|месяц(?:а|ев)?|недел[юьи]|дн(?:я|ей)|день)"
_COUNTS = (
    "(?:\\d+|один|одну|два|две|три|четыре|пять|шесть|семь|восемь|девять|десять|одиннадцать|двенадцать|тринадцать|четырнадцать|пятнадцать|шестнадцать|семнадцать|восемнадцать|девятнадцать|двадцать|тридцать|сорок|пятьдесят|шестьдесят|семьдесят|пару|несколько|много|"
    "больше|полтора|третий|второй|первый|четвертый|четвёртый|пятый|шестой|седьмой|десятый|лет|месяца|года)"
)
_NOT_SINCE = Caseless(
    rf"(?<![\w-])(?:уже )?(?:полгода|год|полтора года|(?:{_COUNTS}) {_UNITS}) как не(?![\w-])|(?<![\w-])уже (?:полгода|год|(?:{_COUNTS}) {_UNITS}) не(?= (?:курю|живу|живем|живём|работаю|ем|играю|занимаюсь|принимаю)(?![\w-]))"
    rf"|(?<![\w-])(?:полгода|год|(?:{_COUNTS}) {_UNITS}) не(?= курю(?![\w-]))",
)
_MONTHS = "(?:январ|феврал|март|апрел|ма[йея]|июн|июл|август|сентябр|октябр|ноябр|декабр)[а-яё]*"
_DAYS = "(?:понедельник|вторник|сред|четверг|пятниц|суббот|воскресен|выходн|будн)[а-яё]*"
_SEASONS = "(?:весн|лет|осен|зим)(?:ой|ом|ью|у|ю|ы|а|и|е|о|ь)"
# Times, which say nothing of what holds.
_TIMES = Caseless(
    rf"(?<![\w-])(?:после (?:рождени\w|смерти|развода|школы|института|переезда|свадьбы|армии|универа|университета|родов|работы|аварии|операции|ковида)(?: [а-яё]+(?:ого|его|ой|ей|ы|а|и)){{0,2}}|не так давно|в (?:\d+|{_COUNTS}) {_UNITS}(?!\w)|(?:уже |почти |больше |около |примерно |где-то )?(?:{_COUNTS} )?(?:{_COUNTS}) {_UNITS}(?: назад| подряд| как)?(?!\w)(?! в неделю)|"
    rf"{_UNITS} {_COUNTS}(?: назад)?(?![\w-])|(?:год|месяц|неделю|полгода) назад|полтора года|(?:уже )?полгода(?! в)|лет с (?:\d+|[а-яё]+и)(?! лет)|с (?:\d+|[а-яё]+и) лет|в две тысячи [а-яё]+ом|(?:год|полгода) как(?!\w)|"
    rf"(?:с|со|до|к|по|от) (?:\d{{4}}(?:-го)?(?: года)?|{_MONTHS}|{_DAYS}|детства|юности|школы|рождения|института|прошл\w+ \w+|недавних пор|(?:двух|трёх|трех|четырёх|четырех|пяти|шести|семи|восьми|девяти|десяти|одиннадцати|двенадцати|тринадцати|четырнадцати|пятнадцати|шестнадцати|семнадцати|восемнадцати|девятнадцати|двадцати|тридцати)(?: лет| месяцев)?|[а-яё]+ого класса|{_COUNTS} лет|начала \w+|конца \w+|новым год\w+|осени|весны|лета|зимы|утра|вечера)|"
    rf"(?:в|во) (?:\d{{4}}(?:-м)?(?: году)?|{_MONTHS}(?: месяце)?|{_DAYS}|(?:прошл|этом|эт|том|следующ|позапрошл)\w* (?:году|месяце|месяц|раз|{_MONTHS}|{_DAYS})|двадцать \w+|девяност\w+|нулев\w+|детстве|конце \w+|начале \w+|середине \w+|свободное время|последнее время|данный момент|настоящее время|ночную|ночь)|"
    rf"на (?:прошлой|этой|той|следующей|днях|данный момент)(?: неделе)?|(?:прошл|эт|нынешн|следующ)\w+ (?:{_SEASONS}|год\w*)|"
    rf"(?:кажд|по) ?(?:ый|ое|ую|ые)? (?:день|утро|вечер|неделю|месяц|год|весну|осень|зиму|лето|выходн\w+|вечерам|ночам|утрам|четвергам|средам|пятницам|субботам|понедельникам|вторникам|воскресеньям)|"
    rf"под новый год|(?:весной|летом|осенью|зимой)(?=\s|$)|\d раз\w* в неделю|{_COUNTS} раза? в (?:неделю|день|сутки|месяц|год)|вечерами|утрами|ночами|целыми днями|днями|позавчера|вчера|сегодня|завтра|скоро|теперь|сейчас|щас|ныне|недавно|давно|всю жизнь|до сих пор|с тех пор|год|сутками)(?![\w-])",
)  # fmt: skip
# Words that add nothing; several at a time first.
_FILLERS = Caseless(
    r"(?<![\w-])(?:не так давно|честно говоря|по правде говоря|если что|к слову|как раз|на самом деле|больше всего(?: на свете)?|по жизни|в основном|все еще|всё ещё|"
    r"всё-таки|все-таки|так что|то есть|в общем-то|в общем|в целом|если честно|само собой|в принципе|между прочим|на минуточку|кроме того|"
    r"на дух(?= не)|ну|вот|же|ведь|так|уж|как-то|короче|блин|наконец-то|наконец|действительно|реально|официально|временно|постоянно|обычно|конечно|например|"
    r"по-прежнему|сильно|безумно|жутко|страшно|ужасно|дико|прям|прямо|чисто|сам|сама|сами|честно|лично|примерно|снова|опять|уже(?! не(?!\w))|вообще|вообще-то|тоже|"
    r"также|пока|ещё|еще|просто|очень|очень-очень|оч|кстати|значит|слушай|слушайте|смотри|смотрите|спс|спасибо|пожалуйста|пж|плиз|да|ага|угу|ок|окей|ура+|ой|ох|эх|эй|увы|"
    r"привет\w*(?! из)|здравствуй\w*|здрасте|хай|салют|добрый (?:день|вечер)|доброе утро|доброго (?:дня|вечера|времени суток)|всем привет|кароч|типо|щас|лол|хех|ахах\w*|хаха|учтите|учти|знаешь|знаете|в свободное время|"
    r"заодно|серьёзно|серьезно|искренне|люто|правда|абсолютно|совершенно|совсем|немного|немножко|чуть-чуть|слегка|чуток|довольно|всегда|никогда|постоянно|активно|"
    r"очевидно|к сожалению|к счастью|хорошо|неплохо|свободно|бегло|отлично|плохо|(?<!из )(?<!до )(?<!у )дома|тут|здесь|сначала|потом|только|лишь|исключительно|довольно-таки|решительно|категорически|скорее|особенно|особо|слишком|всей душой|от всей души|даже|иногда|сюда|оба|обе|принципиально|отчаянно|безуспешно|отныне|итак|тем временем|насовсем|навсегда|окончательно|врач(?:и)? (?:говорит|сказал|сказала|говорят)(?: что)?|доктор (?:говорит|сказал)(?: что)?)(?![\w-])",
)
_LEADING = re.compile(r"^(?:(?:а|и|но|или|зато|то)\s+)+", re.IGNORECASE)
_WITH_KIN = Caseless(
    r"(?<![\w-])(?:(?:вместе )?со? (?:(?:мо|сво|наш|нов|люб)\w+ )*(?:женой|мужем|семь[её]й|девушкой|парнем|друзьями|другом|подругой|сестрой|братом|мамой|папой|родителями|детьми|бабушкой|бабулей|дедушкой|сыном|дочкой|дочерью|двумя детьми|ребёнком|котом|кошкой|собакой)(?: и (?:сыном|дочкой|дочерью|детьми|котом|кошкой|собакой))?)(?![\w-])",
)
_BREAK = Caseless(
    r"\s*(?P<mark>[;:…()]|\.\.+|,(?!\d)|!|(?<=\s)[-–—]{1,3}(?=\s+(?:и|а|но|мы|я|у меня|у нас|мне|теперь|сейчас|поэтому|так что|потому)(?![\w-])))\s*"
    r"|(?<!лет)(?<!год)(?<!года)(?<!так)\s+(?P<word>но|а|зато|однако|потому что|потому|так как|поскольку|хотя|поэтому|так что|когда|пока(?! (?:у|в|во|на|под|с|со|без|ещё|еще|один|одна|одни)(?![\w-]))|который|которая|которые|которого|которую|котором|где|чтобы|что|как|откуда|куда|если|чем|ради|из-за|кроме|вместо|после|до того)(?![\w-])\s*"
    r"|\s+(?P<soft>и|или|плюс|либо)\s+(?=(?P<next>(?:\S+\s*){1,4}))",
)
_ASIDES = re.compile(
    r",\s*(?:кстати|между прочим|если что|конечно|к слову|к сожалению|кстати говоря|увы|вообще-то|честно говоря)\s*,",
    re.IGNORECASE,
)
_DASH = re.compile(r"(\s[-–—]{1,3}\s)")
_SKIPPED = frozenset(
    "когда который которая которые которого которую котором где чтобы что как откуда куда если чем ради из-за кроме вместо после до пока".split()
)
_KIN_FORMS = "|".join(sorted(KIN_RU, key=len, reverse=True))
_MINE = r"(?:мо[йяеёи]|мою|моего|моей|моему|моим|мои|моих|наш|наша|наше|наши|нашу|нашего|нашей|нашему|наших|свой|свою|своего)"
_OLDER = r"(?:(?:(?:старш|младш|лучш|родн|двоюродн|троюродн|нов|единственн|маленьк|больш|средн|любим|бывш|стар|мелк|близк|хорош|трехлетн|пятилетн|взросл|рыж|черн|бел)(?:ий|ый|ой|ая|яя|ую|юю|его|ого|ей|ему|ому|ие|ые|их|ых|ими))|оба|обе|мелкий|мелкая)"
_NAME = r"(?-i:[А-ЯЁA-Z])[\w-]+(?: (?-i:[А-ЯЁA-Z])[\w-]+)?"
_KIN = Caseless(
    rf"^(?:у )?(?P<mine>(?:{_MINE} |{_OLDER} )*)(?P<who>{_KIN_FORMS})(?P<law>-близнец\w*| по комнате)?(?![\w-])(?: (?:{_MINE}|у (?:меня|нас))(?![\w-]))?(?:,? (?P<name>{_NAME})(?=\s|$|,))?,?\s*",
)
_NAMED_SO = Caseless(rf"(?<![\w-])(?P<who>{_KIN_FORMS}) по (?:имени|кличке|прозвищу) (?P<name>{_NAME})")
_OWNER = Caseless(r"(?<![\w-])(?:у (?:меня|нас))(?![\w-])\s*")
_ME = Caseless(r"(?<![\w-])(?<!к )(?<!ко )(?<!обо )(?<!при )(?:мне|нам)(?![\w-])\s*")
_I = Caseless(r"(?<![\w-])(?:я|мы)(?![\w-])\s*")
_THEY = Caseless(
    r"^(?:и |а )?(?P<who>он|она|они|ему|ей|им|его|её|ее|их|у него|у неё|у нее|у них|который|которая)(?![\w-])\s*",
)
_OTHERS = Caseless(
    r"^(?:ты|вы|тебя|вас|это|этот|эта|эти|тот|та|те|все|всё|кто|никто|кто-то|люди|соседи|народ|мой|моя|моё|мои|наш|наша|наше|наши|твой|твоя|ваш|ваша|каждый|многие|некоторые|другие)(?![\w-])",
)
_NOT = re.compile(r"(?<![\w-])(?:больше |уже |вообще |совсем |давно |никогда )*не$", re.IGNORECASE)
_HEDGED = Caseless(
    r"(?<![\w-])(?:бы|б|похоже|видимо|судя|наверное|наверно|возможно|(?<!не )может|кажется|вроде|якобы|будто|хотелось|вдруг|когда-нибудь|надо|нужно|стоит|следует|пора|едва|чуть не|думаю|думал[аи]?|подумывал[аи]?|считаю|подозреваю)(?![\w-])",
)
_AGE = re.compile(r"^\d\d(?: (?:лет|год|года))?$")
_ITEMS = 4


def russian_clauses(sentence: str) -> Iterator[Clause]:
    """The clauses of a sentence that are of its author or of kin; what is said of others or in doubt is left out."""
    low = sentence.lower()
    if "," in low:
        sentence = _ASIDES.sub(" ", sentence)
    if " как не" in low or "уже " in low or "не курю" in low:
        sentence = _NOT_SINCE.sub("больше не", sentence)
    if "пришлось" in low or "довелось" in low:
        sentence = _HAD_TO.sub(_as_done, sentence)
    if any(done in low for done in _DOCTORS_DO):
        sentence = _DOCTORS.sub("", sentence)
    yield from _Reader().read(sentence)


def _as_done(found: re.Match[str]) -> str:
    """«кота пришлось отдать» as «кота отдал»."""
    if found["before"]:
        return found[0]
    return f"{found['between'] or found['after'] or ''} {_DONE[(found['done'] or found['first']).lower()]}".strip()


def _starts_clause(text: str) -> bool:
    words = re.findall(r"[\w-]+", text.lower().replace("ё", "е"))
    if not words:
        return False
    return (
        any(word in _FORMS for word in words[:4])
        or words[0]
        in (
            "я",
            "мы",
            "у",
            "мне",
            "нам",
            "меня",
            "мой",
            "моя",
            "не",
            "она",
            "он",
            "его",
            "ее",
            "их",
            "зовут",
            "теперь",
        )
        or _goes_on(words)
    )


def _goes_on(words: list[str]) -> bool:
    """Whether what follows "and" is a clause by its verb, though nobody knows which: «и ни разу не пожалел»."""
    while words and words[0] in (
        "ни",
        "разу",
        "даже",
        "сразу",
        "потом",
        "очень",
        "больше",
        "уже",
        "теперь",
        "так",
        "всё",
        "все",
    ):
        words = words[1:]
    return len(words) > 1 and words[0] == "не" and _PAST_FORM.search(words[1]) is not None


_PAST_FORM = re.compile(r"(?:[аяиеу]л|[аяиеу]л[аи]|лся|л[аи]сь|шл[аи]|ш[её]л)$")


def _pieces(sentence: str) -> list[tuple[str, str]]:
    found, start, joint = [], 0, ""
    for match in _BREAK.finditer(sentence):
        if match["soft"] and not _starts_clause(match["next"]):
            continue
        found.append((joint, sentence[start : match.start()].strip()))
        joint, start = (match["mark"] or match["word"] or match["soft"]).strip().lower(), match.end()
        if match["soft"]:
            start = match.start("next")
    found.append((joint, sentence[start:].strip(" .!?\"'")))
    found = [half for one in found for half in _at_dash(one)]
    joined: list[tuple[str, str]] = []
    place = 0
    while place < len(found):  # "люблю чай", "кофе", "какао и сок" are one piece
        joint, text = found[place]
        end = place + 1
        while end < len(found) and found[end][0] == "," and _is_item(found[end][1]):
            end += 1
        if end > place + 1 and text and re.search(r"(?<![\w-])(?:и|или)(?![\w-])", found[end - 1][1]):
            text = ", ".join([text, *(one for _, one in found[place + 1 : end])])
            place = end
        else:
            place += 1
        joined.append((joint, text))
    return joined


def _at_dash(piece: tuple[str, str]) -> list[tuple[str, str]]:
    """A piece as it is, or in two where its dash stands between clauses and not for "is"."""
    joint, text = piece
    left, dash, right = _DASH.split(text, 1) if _DASH.search(text) else (text, "", "")
    if dash and _verb_in(left) is not None:
        return [(joint, left), ("—", right)]
    return [piece]


def _is_item(text: str) -> bool:
    words = text.split()
    return 0 < len(words) <= _ITEMS and not _starts_clause(text) and not words[0][0].isdigit()


class _Reader:
    """Goes through one sentence and remembers who is spoken of."""

    def __init__(self) -> None:
        self._who: str | None = ""
        self._kin: list[str] = []
        self._head = ""
        self._owned: str | None = None  # kin that the last clause of the author's told of having
        self._named = ""  # kin that the last clause named
        self._is_over = False  # what follows says what came after

    def read(self, sentence: str) -> Iterator[Clause]:
        is_hedged = False
        pieces = _pieces(sentence)
        is_changed = len(pieces) > 1 and _SINCE_THEN.search(sentence) is not None
        changed = (
            max((place for place, (_, text) in enumerate(pieces) if _BEGINS_NOW.search(text)), default=0)
            if is_changed
            else 0
        )
        is_until = " до " in f" {sentence.lower()}"
        for place, (joint, text) in enumerate(pieces):
            if not text or joint in _SKIPPED:
                continue
            self._is_over = place < changed or (is_until and _UNTIL_THEN.search(text) is not None)
            if place == 0 and len(pieces) > 1 and _AGE.match(pieces[1][1]) and re.fullmatch(_NAME, text):
                yield Clause("", f"меня-зовут {text}")  # «Настя, 27, …»
                continue
            if place == 0 and len(pieces) > 1 and _PLEASED.match(pieces[1][1]) and re.fullmatch(_NAME, text):
                yield Clause("", f"меня-зовут {text}")
                continue
            if is_hedged or _HEDGED.is_in(text):
                is_hedged = len(text.split()) < 3  # «Может, …» is of what follows
                self._who, self._head = _NOBODY, ""
                continue
            for clause in self._clauses(text):
                if clause.said.startswith("имя "):
                    self._named = clause.who
                yield clause
                yield from self._coordinated(clause)
            if len(pieces) > 1 and not _OF_THIRD.search(text):
                self._mention(text)

    def _mention(self, text: str) -> None:
        """Remember kin that a clause speaks of, so that "he" and "she" of the next are known: «нужен подарок папе, ему 70»."""
        words = text.lower().split()
        for before, word in pairwise(["", *words]):
            if (
                word in KIN_RU
                and KIN_RU[word] not in PETS
                and before not in _OTHERS_KIN
                and not before.endswith(("ин", "ов", "ева", "ова"))
            ):
                self._kin.append(KIN_RU[word])

    def _clauses(self, text: str) -> Iterator[Clause]:
        full = _LEADING.sub("", _squeeze(_FILLERS.sub(" ", text)))
        if not full:
            return
        owned, self._owned = self._owned, None
        named, self._named = self._named, ""
        if named and full.isdigit() and len(full) < 3:
            yield Clause(named, f"мне {full}", f"мне {full}")
            return
        if self._head == "у" and not owned and _CALLS.search(full) and not _MINE_CALLED.search(full):
            self._who, self._head = _NOBODY, ""  # «у меня напарник, Вовой зовут»
            return
        if owned and (match := _CALLED_SO.fullmatch(full)) and match[1][0].isupper():
            yield Clause(owned, f"имя {match[1]}", "")
            return
        if owned and (re.fullmatch(_NAME, full) or (_CALLED.match(full) and not _MINE_CALLED.search(full))):
            self._who = owned
            yield Clause(owned, f"имя {_CALLED.sub('', full)}", "")
            return
        if self._kin and (match := _OTHER_ONE.match(full)) and _is_age(full[match.end() :]):
            yield Clause(self._kin[-1], f"мне {full[match.end() :]}", f"мне {full[match.end() :]}")
            return
        if match := _THEY.match(full):
            who = self._kin_of(match["who"].lower())
            self._who = who
            if who is not None:
                rest = full[match.end() :]
                low = match["who"].lower()
                if low in ("ему", "ей", "им"):
                    yield Clause(who, f"мне {rest}", f"мне {rest}")
                elif low.startswith("у "):
                    yield Clause(who, f"у {rest}", f"у {rest}")
                else:
                    yield from self._of(who, rest)
            return
        low = full[:5].lower()
        if self._is_over and low.startswith(("был ", "была ")):
            full = f"раньше {full}"  # «была поваром, переучилась на медсестру»
        if low == "есть " and _KIN.match(full[5:]):
            full = f"у меня {full[5:]}"
        told = owned or self._who
        if told and _is_age(full) and (" " in full or full in _BABIES):
            yield Clause(told, f"мне {full}", f"мне {full}")
            return
        if (low.startswith(_PARENTS) and _PARENT_OF.match(full)) or (
            low.startswith("у ") and _AT_OTHERS.match(full) and not _AT_KIN.match(full)
        ):
            yield from self._elsewhere(full)
            return
        match = _KIN.match(full)
        if match and _I.is_in(full[match.end() :]):
            yield from self._of_author(full)
            return
        if match and _is_object_kin(match, full):
            yield from self._of_author(full)
            return
        if match and _ME.is_in(full[match.end() :]):
            yield from self._with_verb("", _squeeze(_ME.sub(" ", full)), "мне")
            return
        if match and match.end() >= len(full) and not full.lower().startswith("у "):
            self._who = self._met(match)
            if match["name"] and (match["mine"] or self._who in _NEAREST):
                yield Clause(self._who, f"имя {match['name']}", "")
            return
        if self._who and self._kin and re.fullmatch(_NAME, full):
            yield Clause(self._who, f"имя {full}", "")
            return
        if self._head in ("live", "rent") and self._who is not None and _IN_PLACE.fullmatch(full):
            yield Clause(self._who, f"live {full}", f"live {full}")
            return
        if match and full.lower().startswith("у ") and not match["name"] and _is_living_at(full[match.end() :]):
            yield from self._of_author(full)
            return
        if (
            match
            and (match["mine"] or match["name"] or full[match.end() :].strip())
            and not re.match(r"по(?![\w-])", full[match.end() :])
        ):
            yield from self._of_kin(match, full)
            return
        if _OWNER.is_in(full):
            rest = _squeeze(_OWNER.sub(" ", full))
            kin = _KIN.match(rest)
            if kin and not kin["name"] and not kin["mine"] and _is_told_of(kin, rest):
                yield from self._of_kin(kin, rest)
                return
            if (
                kin
                and kin["name"] is None
                and re.match(r"^(?:[-–—]|[а-яё]+$)", rest[kin.end() :])
                and not full.lower().startswith(("у меня", "у нас"))
            ):
                yield from self._of_kin(kin, rest)
                return
            self._who, self._head = "", "у"
            if kin and kin["name"]:
                yield Clause(self._met(kin), f"имя {kin['name']}", "")
            yield from self._with_verb("", rest, "у")
            return
        if (
            _OTHERS.match(full)
            and not _I.is_in(full)
            and not re.search(
                r"(?<![\w-])(?:зовут|называют) меня|меня (?:\w+ )?зовут|^все (?:зовут|называют|кличут) [А-ЯЁ]",
                full,
                re.IGNORECASE,
            )
        ):
            said = _squeeze(_TIMES.sub(" ", full))
            self._who = "" if re.match(r"(?:мо[йяеёи]|наш[аеи]?)(?![\w-])", full, re.IGNORECASE) else _NOBODY
            if self._who == "":
                yield Clause("", f"мой {said}", f"мой {full}")
            return
        if _ME.is_in(full) and not _I.is_in(full):
            rest = _squeeze(_ME.sub(" ", full))
            self._who, self._head = "", "мне"
            yield from self._with_verb("", rest, "мне")
            return
        yield from self._of_author(full)

    def _elsewhere(self, full: str) -> Iterator[Clause]:
        """«мама четверых» is of the author; «у Пети аллергия» is of nobody known, but «у Пети живу»."""
        verb = _verb_in(full)
        if (
            _PARENT_OF.match(full)
            or _I.is_in(full)
            or (verb is not None and verb[1] == "author" and verb[0] not in _IMPERSONAL)
        ):
            yield from self._of_author(full)
        else:
            self._who = _NOBODY

    def _of_kin(self, match: re.Match[str], full: str) -> Iterator[Clause]:
        self._who = who = self._met(match)
        rest = full[match.end() :].strip()
        if match["name"] and not rest and full.lower().startswith("у "):  # «у мамы Альцгеймер»
            yield Clause(who, f"у {match['name']}", f"у {match['name']}")
            return
        if match["name"]:
            yield Clause(who, f"имя {match['name']}", "")
        if full.lower().startswith("у "):
            yield from self._with_verb(who, rest, "у")
        elif rest:
            yield from self._of(who, rest)

    def _of(self, who: str, rest: str) -> Iterator[Clause]:
        rest = re.sub(r"^[-–—]\s*|^это\s+", "", rest)
        rest = re.sub(
            r"^(?:(?:вчера|сегодня|недавно|на днях|скоро|позавчера)\s+)+(?=\d|исполнилось|стукнуло|будет)", "", rest
        )
        if _is_age(rest):
            yield Clause(who, f"мне {rest}", f"мне {rest}")
            return
        if re.match(r"\d+ |[а-яё]+ (?:лет|года?|годик\w*|месяц\w*|недел\w*)(?!\w)", rest, re.IGNORECASE) or (
            re.fullmatch(
                r"(?:(?:исполнилось|стукнуло|будет) )?\d{1,2}|(?:исполнилось )?[а-яё]+(?: лет| года?)?",
                rest,
                re.IGNORECASE,
            )
            and _is_number(rest)
        ):
            yield Clause(who, f"мне {rest}", f"мне {rest}")
            return
        yield from self._with_verb(who, rest, "be")

    def _of_author(self, full: str) -> Iterator[Clause]:
        has_i = _I.is_in(full)
        rest = _squeeze(_I.sub(" ", full))
        rest = re.sub(r"^[-–—]\s*", "", rest)
        if has_i:
            self._who, self._head = "", self._head or "be"
            yield from self._with_verb("", rest, "be")
            return
        said = _squeeze(_TIMES.sub(" ", rest))
        verb = _verb_in(said)
        if verb is not None:
            _, whose, place, words = verb
            if whose == "author":
                self._who = ""
                yield from self._with_verb("", rest, "be")
            elif (
                self._who is None
                or (whose == "kin" and not self._who)
                or (
                    (whose == "past" or self._who)
                    and place > 0
                    and not _is_object(words[:place])
                    and not (verb[0] in _BY_MEANS and words[place - 1].lower().endswith(_INSTRUMENTAL))
                )
            ):
                self._who = _NOBODY
            else:
                yield from self._with_verb(self._who, rest, "be" if self._who else "given")
            return
        if not self._who and re.fullmatch(_SOMEBODY, rest) and (rest.lower() in _ELDER or is_given_name(rest)):
            self._who = _NOBODY  # «Саня уехал», «старший, Саня, уехал»
            return
        if self._who is not None:
            if self._who == "" and _AGE.match(rest):
                yield Clause("", f"мне {rest}", f"мне {rest}")
            else:
                yield Clause(self._who, f"bare {said}", f"bare {rest}")
                if self._head:
                    yield Clause(self._who, f"also {said}", f"also {rest}")
                self._head = "bare"

    def _with_verb(self, who: str, rest: str, bare: str) -> Iterator[Clause]:
        """The clause with its verb first, or `bare` where it has none that is known."""
        if bare == "у":
            rest = _squeeze(_WITH_KIN.sub(" ", rest))
        said = _squeeze(_TIMES.sub(" ", rest))
        verb = _verb_in(said)
        if verb is not None and verb[0] not in ("parted", "dating", "gone", "married"):
            said = _squeeze(_WITH_KIN.sub(" ", said))
            verb = _verb_in(said)
        if verb is not None and bare == "мне" and verb[0] == "willbe":
            verb = None
        if verb is None or (bare in ("у", "мне") and verb[0] not in _IMPERSONAL and verb[1] != "past"):
            bare = "be" if bare == "given" else bare
            yield Clause(who, f"{bare} {said}", f"{bare} {rest}")
            return
        name, whose = verb[:2]
        if name == "hired" and not re.search(r"(?<!\w)(?:меня|нас)(?!\w)", said, re.IGNORECASE):
            name, whose = "bought", "past"
        if name == "dropped" and verb[3][verb[2]].lower().startswith("забра") and _FROM_ELSEWHERE.search(said):
            name = "bought"
        if name == "sold" and (bare == "мне" or (verb[3][verb[2]].lower() == "подарили" and bare == "given")):
            name = "bought"  # «мне подарили велосипед»
        if (whose == "author" and who and name not in _IMPERSONAL) or (whose == "kin" and not who):
            return
        place, words = verb[2:]
        head = ("was-" if whose == "past" and name in _LASTING else "") + name
        self._head = head
        yield Clause(who, self._verb_first(head, said), self._verb_first(head, rest), words[place])

    def _verb_first(self, head: str, text: str) -> str:
        return _verb_first(head, text, is_over=self._is_over)

    def _coordinated(self, clause: Clause) -> Iterator[Clause]:
        """What stands beside the end of a clause without a verb: «я левша и дальтоник»; who is married has a husband or a wife."""
        head, _, rest = clause.said.partition(" ")
        if found := _NAMED_SO.search(clause.full or rest):
            yield Clause(self._met(found), f"имя {found['name']}", "")
        if head in ("be", "bare") and " и " in rest:
            yield Clause(clause.who, f"{head} {rest.partition(' и ')[2]}")
        if not clause.who and head in ("dating", "live", "married", "gone"):
            said = (clause.full or rest).lower().split()
            self._kin += [KIN_RU[word] for word in said if word in KIN_RU]
        if not clause.who and head in ("bought", "have", "keep", "у", "be", "bare") and not _PARENT_OF.match(rest):
            self._owned = next((KIN_RU[word] for word in reversed(rest.lower().split()) if word in KIN_RU), None)
            if self._owned in ("дети", "родители", "компания", "команда", "проект"):
                self._owned = None
            self._kin += [self._owned] if self._owned and head in ("bought", "have", "keep", "у") else []
        if not clause.who and head in ("be", "bare"):
            self._kin += (
                ["муж"] if rest.lower().startswith("замужем") else ["жена"] if rest.lower().startswith("женат") else []
            )

    def _met(self, match: re.Match[str]) -> str:
        self._kin.append(KIN_RU[match["who"].lower()])
        return self._kin[-1]

    def _kin_of(self, pronoun: str) -> str | None:
        for who in reversed(self._kin):
            if pronoun in ("он", "ему", "его", "у него", "который") and who not in FEMALE_KIN:
                return who
            if pronoun in ("она", "ей", "её", "ее", "у неё", "у нее", "которая") and who not in MALE_KIN:
                return who
            if pronoun in ("они", "им", "их", "у них") and who not in (MALE_KIN | FEMALE_KIN):
                return who
        return _NOBODY


# Of these the past is over; of the others it is what has come about.
_LASTING = frozenset(
    "create live rent work teach study like fond pleases hate bear prefer eat drink smoke keep have drive wear play practise go collect take can fear want plan speak".split()
)


_OTHERS_KIN = frozenset(
    "его её ее их твой твоя твою твоей твоего твоему ваш ваша вашу вашей вашего чей чья чужой чужая чужую этот эта того той у".split()
)
_OF_THIRD = re.compile(
    r"(?<![\w-])(?:он|она|они|его|её|ее|их|него|неё|нее|них|ему|ей|им|ты|вы|твой|ваш|кто)(?![\w-])", re.IGNORECASE
)
_NEAREST = frozenset("дочь сын жена муж внук внучка".split())  # of whom nobody says that they are theirs
_BABIES = frozenset(("год", "годик", "полгода", "полтора", "полтора года"))
_ELDER = frozenset("старший младший средний старшая младшая средняя мелкий мелкая".split())
_SOMEBODY = re.compile(r"[А-ЯЁа-яё]+")
# What is said with the instrumental: «раньше греблей занимался».
_BY_MEANS = frozenset("practise fond tookup work".split())
_INSTRUMENTAL = ("ом", "ем", "ём", "ой", "ей", "ью", "ами", "ями", "ым", "им")
_CALLS = re.compile(r"(?<![\w-])(?:зовут|звать|кличут)(?![\w-])", re.IGNORECASE)
_CALLED_SO = re.compile(rf"({_NAME}) (?:назвал[аи]?|зовут|кличут|звать)", re.IGNORECASE)
_PARENTS = ("мам", "мат", "пап", "оте", "баб", "дед", "мно", "сча")
_PARENT_OF = re.compile(
    r"(?:многодетная |счастлив\w+ )?(?:мама|мать|папа|отец|бабушка|дедушка) (?:двоих|троих|двух|тр[её]х|четверых|пятерых|\d)(?![\w-])",
    re.IGNORECASE,
)
_AT_OTHERS = re.compile(r"у (?!меня|нас|не[её]|него|них)[\w-]+(?![\w-])", re.IGNORECASE)
_AT_KIN = re.compile(rf"у (?:(?:{_MINE}|{_OLDER}) )*(?:{_KIN_FORMS})(?![\w-])", re.IGNORECASE)
_IN_PLACE = re.compile(r"(?i:в|во|на|под) [А-ЯЁ][\w-]+(?: [А-ЯЁ][\w-]+)?")
_CALLED = re.compile(r"^(?:(?:зовут|назвал[аи]?|кличка|звать|имя|по кличке|по имени)\s*[-–—:]?\s*)", re.IGNORECASE)
_OTHER_ONE = re.compile(r"^(?:старш|младш|средн)(?:ему|ей|ий|ая)\s+", re.IGNORECASE)
_PLEASED = re.compile(
    r"^(?:очень )?(?:приятно(?: познакомиться)?|рад[а]? (?:знакомству|познакомиться)|будем знакомы)(?![\w-])",
    re.IGNORECASE,
)
_MINE_CALLED = re.compile(r"(?<![\w-])(?:меня|нас)(?![\w-])", re.IGNORECASE)


def _is_living_at(rest: str) -> bool:
    """Whether what follows "у родителей" says that its author lives there."""
    found = _verb_in(rest)
    return found is not None and found[:2] == ("live", "author")


def _is_told_of(kin: re.Match[str], rest: str) -> bool:
    """Whether of kin that somebody has something is told: «у меня папа таксист», not «у меня брат и сестра»."""
    form, told = kin["who"].lower(), rest[kin.end() :].split()
    if not told or KIN_RU[form] in PETS or _OBLIQUE.search(form) or form in _ANIMATE:
        return False
    return (len(told) == 1 and told[0].isalpha() and told[0].islower()) or _verb_in(rest[kin.end() :]) is not None


def _is_object_kin(match: re.Match[str], full: str) -> bool:
    """Whether kin that a clause begins with is what its author did something to: «кота отдали», «собаку обожаю»."""
    form = match["who"].lower()
    if full.lower().startswith("у ") or match["name"] or not (_OBLIQUE.search(form) or form in _ANIMATE):
        return False
    verb = _verb_in(full[match.end() :])
    return verb is not None and (
        verb[0] in ("sold", "bought", "swapped") or (verb[1] == "author" and verb[0] not in _IMPERSONAL)
    )


def _squeeze(text: str) -> str:
    return " ".join(text.split()).strip(" ,.!?-–—") if text else ""


def _is_number(text: str) -> bool:
    words = [word for word in text.lower().split() if word not in ("исполнилось", "лет", "год", "года")]
    return bool(words) and all(word.isdigit() or word in NUMBERS_RU for word in words)


_OF_AGES = frozenset(
    "понедельник вторник среду четверг пятницу субботу воскресенье завтра послезавтра исполнилось исполняется исполнится стукнуло стукнет будет было лет год года годик годика уже скоро всего почти ровно в на этом следующем году днях вчера сегодня "
    "январе феврале марте апреле мае июне июле августе сентябре октябре ноябре декабре".split()
)


def _is_age(text: str) -> bool:
    """Whether all that is said of kin is how old they are: «в августе семьдесят исполняется»."""
    words = text.lower().split()
    if text.lower() in _BABIES:
        return True
    numbers = [word for word in words if word not in _OF_AGES]
    return 0 < len(numbers) < 3 and all(word in NUMBERS_RU or (word.isdigit() and len(word) < 4) for word in numbers)


def _verb_in(text: str) -> tuple[str, str, int, list[str]] | None:
    """(what it says, whose, its place, the words) of the first known verb of a clause."""
    words = text.split()
    for place, word in enumerate(words):
        form = _FORMS.get(word.lower().replace("ё", "е").strip(".,!?"))
        if form is not None:
            return *form, place, words
    return None


def _is_object(words: list[str]) -> bool:
    """Whether words before a verb are what it is done to or where: no nominative that would be who does it."""
    kept = [
        word.lower()
        for word in words
        if word.lower() not in ("не", "больше", "раньше", "уже", "когда-то", "прежде", "один", "одна")
    ]
    if not kept:
        return True
    if kept[0] in (
        "в",
        "во",
        "на",
        "из",
        "с",
        "со",
        "от",
        "под",
        "до",
        "к",
        "по",
        "за",
        "после",
        "перед",
        "ради",
        "через",
        "для",
        "без",
        "при",
    ):
        return True
    return (
        kept[-1].endswith(("у", "ю", "ия", "ки", "ы", "о", "е", "ие", "ые", "ть", "ться", "чь"))
        or bool(_OBJECT.fullmatch(kept[-1]))
        or kept in (["пришлось"], ["права"], ["замуж"])
    )


_OBJECT = re.compile(
    "(?:[а-яё]{3,}[сц]кий|иврит|хинди|дом|мотоцикл|велосипед|велик|телефон|айфон|ноут|ноутбук|телевизор|гараж|участок|байк|самокат|скутер|компьютер|комп|автомобиль|футбол|хоккей|спорт|диван|"
    "рояль|прицеп|катер|квадроцикл|лук|хлеб|сыр|сахар|кофе|чай|алкоголь|глютен|рис|шоколад|бег|теннис|баскетбол|волейбол|джаз|рэп|рок|рап)"
)


def _verb_first(head: str, text: str, *, is_over: bool = False) -> str:
    """A clause with its verb's name first, and how it is denied or over before the name. is_over: the rest says so of a past."""
    found = _verb_in(text)
    if found is None:
        return f"{head} {text}"
    _, _, place, words = found
    before, after = words[:place], words[place + 1 :]
    low = [word.lower() for word in before]
    denied = "не" in low
    over = {"больше", "уже"} & {word.lower() for word in (*before, *after)}
    if denied:
        before = [word for word in before if word.lower() != "не"]
    if head == "pleases" and "больше" in (*low, *(word.lower() for word in after)):
        head = "prefer" if low[-1:] == ["больше"] else "compared"
    usedto = head.startswith("was-") and bool(
        is_over or {"раньше", "прежде", "когда-то"} & {word.lower() for word in (*before, *after)}
    )
    args = [
        word
        for word in (*before, *after)
        if word.lower() not in ("раньше", "прежде", "когда-то", "больше", "уже", "жить")
    ]
    if denied:
        head = ("nomore-" if over else "not-") + head
    elif usedto:
        head = head.replace("was-", "usedto-")
    return f"{head} {' '.join(args)}".strip()
