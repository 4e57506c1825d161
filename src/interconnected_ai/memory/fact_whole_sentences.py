"""What only a whole sentence says: standing instructions, deadlines, favourites, and who greets."""

import re
from collections.abc import Iterator

from interconnected_ai.memory.caseless import Caseless
from interconnected_ai.memory.fact_words import GIVEN_NAMES_RU
from interconnected_ai.text import is_given_name, normalize

_END = (
    r"(?=\s*(?:[.,;:!?…()\n]|\s[-–—]\s|\b(?:and (?:i|i'm|we|my|it|so|then)|but|because|so|which|who|since|when|while|although|though|"
    r"after|before|until|и (?:я|мы|у|мне|мой|моя|это)|а|но|потому|так как|поэтому|который|когда|хотя|где|пока|зато)\b|$))"
)
_VALUE = r"(?P<value>[^.,;:!?…()\n]{2,80}?)" + _END
_SENTENCE = r"(?P<value>[^!?…\n]{3,200})"
# (relation, whether it is Russian, the pattern)
_RULES = (
    ("instruction", False, re.compile(rf"(?:^|[.!?,]\s*)(?P<whole>(?:please,? |and )?(?:(?:always|never|from now on,? (?:please |always |only |never )?|in (?:the )?future,? (?:please )?)\s*(?:please )?(?:answer|reply|respond|use|write|speak|call|address|show|give|send|tell|ask|include|add|put|start|end|begin|keep|remember|explain|translate|format|cite|check|remind|suggest|recommend|mention|avoid|make|do|be|treat|assume|provide|quote|sign|summari[sz]e|list|convert|greet|apologi[sz]e|offer|talk|sugarcoat|interrupt|share|spell|round|skip|reveal|don't)\b(?! me (?:laugh|smile))(?! up\b| yourself\b| afraid\b)|remember (?:that (?!time|day|one|night|song|movie|film)|to )|don't (?:ever )?(?:forget (?:that|to)|use|call me|answer|reply|mention|show|suggest|recommend)|keep in mind(?! what)|make sure (?:to|that|you)){_SENTENCE})", re.IGNORECASE)),
    ("instruction", False, re.compile(r"^(?P<whole>(?:please,? )?(?:don't|do not|use|answer|reply|respond|write|speak|call me|address me|keep|avoid)\b(?P<value>[^!?…\n]{3,200}\b(?:from now on|in (?:the )?future|going forward)))", re.IGNORECASE)),
    ("instruction", True, re.compile(r"^(?P<whole>(?:пожалуйста,? )?(?:отвечай|пиши|говори|обращайся|используй|называй|объясняй|давай)(?:те)? (?:мне |ко мне |со мной )?(?P<value>(?:всегда|впредь|отныне|только)(?!\w)[^!?…\n]{3,200}))", re.IGNORECASE)),
    ("instruction", True, re.compile(rf"(?:^|[.!?,]\s*)(?P<whole>(?:пожалуйста,? )?(?:(?:всегда|никогда(?: мне)?(?: больше)? не|впредь(?: не)?|отныне(?: не)?|с этого момента(?: не)?|больше никогда не)(?: мне)? (?!говори никогда)(?:[а-яё]+(?:[ай]й|[ауыо]й|яй|уй|ей|йте)|[а-яё]+(?<!л)(?<!люд)(?:и|ите)|ответь(?:те)?|ставь(?:те)?|будь(?:те)?)(?![\w-])|запомни(?:те)?(?![\w-])(?!,? (?:когда|как мы)):?|не забудь(?:те)?(?![\w-])|не забывай(?:те)?(?![\w-])|имей(?:те)? в виду|учти(?:те)?(?![\w-])|учитывай(?:те)?(?![\w-])){_SENTENCE})", re.IGNORECASE)),
    ("instruction", True, re.compile(r"^(?P<whole>(?:[а-яё]+ ){1,2}всегда (?P<value>(?:пиши|давай|указывай|показывай|считай|называй|присылай|переводи|округляй)(?:те)?(?!\w)[^!?…\n]{0,100}))", re.IGNORECASE)),
    ("deadline", False, re.compile(rf"\b(?:my|our|the) (?:[\w-]+ )?deadline(?: for [\w' ]{{2,30}}?)?(?:'s| is)(?: on| by)? (?P<value>[^.,;:!?…()\n]*(?:\d|monday|tuesday|wednesday|thursday|friday|saturday|sunday|tomorrow|january|february|march|april|may|june|july|august|september|october|november|december|week|month)[^.,;:!?…()\n]*?){_END}", re.IGNORECASE)),
    ("deadline", True, re.compile(rf"(?<![\w-])(?:мой |наш )?(?:срок(?: сдачи)?|дедлайн)(?: [а-яё]+ [а-яё]+| [а-яё]+)?\s*[-–—:]?\s*(?:до )?(?P<value>\d[^.,;:!?…()\n]{{1,30}}?|завтра|послезавтра|(?:в |следующ\w+ )*(?:понедельник|вторник|сред[ау]|четверг|пятниц[ау]|суббот[ау]|воскресенье)){_END}", re.IGNORECASE)),
    ("name", False, re.compile(r"(?i:\b(?:hi|hello|hey|hiya|greetings)(?: there| all| everyone)?[,!. ]+I'm\s+)(?P<value>[A-Z][a-z]+(?: [A-Z][a-z]+)?)(?=\s*(?:[.,!]|$|\b(?:and|from|a|an|the)\b))")),
    ("name", True, re.compile(r"(?i:(?<![\w-])(?:привет|здравствуйте|здравствуй|добрый день|всем привет)[,!. ]+(?:это |меня зовут |я )\s*)(?P<value>[А-ЯЁ][а-яё]+(?: [А-ЯЁ][а-яё]+)?)(?=\s*(?:[.,!]|$|\b(?:из|и)\b))")),
    ("instruction", False, re.compile(r"^(?P<whole>(?:please,? )?(?:stop (?:using|calling me|saying|adding|apologi[sz]ing|repeating|asking)\b|keep (?:(?:(?:your|the|all|my) )?(?:answers?|replies|responses|messages|explanations)\b|(?:the|all) it\b|it (?=short|brief|simple|concise|formal|casual|under|to |plain|informal|polite|light|clean))|don't call me\b|address me\b|call me (?:sir|ma'am|madam)|(?:answer|reply|respond|speak|talk|write)(?: to me)? (?:briefly|concisely|informally|formally|only|in (?:plain|simple|short|british|american|english|french|spanish|german|italian|russian|portuguese|polish|chinese|japanese)))(?P<value>[^!?…\n]{0,200}))", re.IGNORECASE)),
    ("instruction", True, re.compile(r"^(?P<whole>(?:пожалуйста,? )?не (?:используй|называй|зови|пиши|отвечай|обращайся|предлагай|упоминай|ставь|добавляй|шути|груби|повторяй|употребляй|спойлери)(?:те)?(?![\w-])(?P<value>[^!?…\n]{3,200}))", re.IGNORECASE)),
    ("instruction", True, re.compile(r"^(?P<whole>(?:пожалуйста,? )?(?:обращайся|отвечай|пиши|говори|общайся|объясняй)(?:те)? (?:ко мне |мне |со мной )?(?P<value>(?:на (?:ты|вы)|покороче|короче|коротко|кратко|подробно|подробнее|попроще|проще|простым|по-[а-яё]+ски(?!\w)|на [а-яё]+ском(?!\w)|без |не (?:длиннее|больше|более|короче|дольше) )[^!?…\n]{0,200}))", re.IGNORECASE)),
    ("favourite", False, re.compile(rf"(?:\b(?:my|our) |^)(?:all[- ]time |absolute |number one )?(?:current )?(?:favou?rite|fave?) (?P<what>(?!(?:of|part|thing|bit)\b)(?:(?!(?:and|but|it|that|to|is)\b)\w+(?: (?!and\b|but\b)\w+){{0,3}}?))(?: ever| of all time)?(?:'s| is| are| has to be| has always been|\?) (?:definitely |probably |easily |always |still )?{_VALUE}", re.IGNORECASE)),
    ("favourite", True, re.compile(rf"(?<![\w-])(?:мо[йяеёи]+ )?(?:самый |самая |самое )?любим(?:ый|ая|ое|ые) (?P<what>[а-яё ]{{2,30}}?)\s*(?:(?:у меня )?[-–—]|это|\bназывается|\bу меня|\?(?: конечно)?|\s(?=(?-i:[А-ЯЁ])))\s*{_VALUE}", re.IGNORECASE)),
    ("favourite", True, re.compile(r"(?<![\w-])(?:мо[йяеё] )?(?:самый |самая |самое )?любим(?:ый|ая|ое) (?P<what>цвет|фрукт|сезон|праздник|предмет|число|месяц|день|город|напиток|суп|сериал|спорт)(?: у меня)? (?P<value>[а-яё-]+)$", re.IGNORECASE)),
    ("given name", True, re.compile(r"(?:^|[,!.)] ?)(?:это|с вами|на связи|вас беспокоит|пишет вам|тут|я) (?P<value>[а-яё]+)(?=\s*(?:$|[.,!]| (?:из|с|снова|опять|и (?:я|живу|мне))(?!\w)))", re.IGNORECASE)),
    ("name", True, re.compile(r"(?i:^(?:это|с вами|на связи|вас беспокоит|пишет вам) )(?P<value>[А-ЯЁ][а-яё]+)(?= (?:из|с) [А-ЯЁ])")),
)  # fmt: skip
_WATCHED = Caseless(
    r"\b(?:always|never|from now on|in (?:the )?future|remember|don't|do not|keep|make sure|going forward|please|avoid|stop|deadline|favou?rite|fave?|hi|hello|hey|hiya|greetings|"
    r"всегда|никогда|впредь|отныне|с этого момента|больше|запомни\w*|не забудь\w*|не забывай\w*|имей\w* в виду|учти\w*|учитывай\w*|пожалуйста|только|дедлайн|срок|"
    r"любим\w+|^это|с вами|на связи|беспокоит|привет|здравствуй\w*|добрый|всем|использу\w+|не (?:называй|зови|пиши|предлагай|упоминай|ставь|добавляй|шути|груби|повторяй|употребляй|спойлери)\w*|называй\w*|обращайся|говори|общайся|объясняй|отвечай\w*|пиши\w*)\b",
)
_CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)
_NAMES = re.compile(r"(?<=это )[а-я]{3,}|(?<=тут )[а-я]{3,}|(?<=я )[а-я]{3,}")


def sentence_findings(sentence: str) -> Iterator[tuple[str, str]]:
    """(relation, value) of what a whole sentence states; a favourite's relation says what it is of."""
    if not _WATCHED.is_in(sentence) and GIVEN_NAMES_RU.isdisjoint(_NAMES.findall(sentence.lower())):
        return
    is_russian = _CYRILLIC.search(sentence) is not None
    for relation, of_russian, pattern in _RULES:
        if of_russian != is_russian:
            continue
        for match in pattern.finditer(sentence):
            groups = match.groupdict()
            if relation == "given name":
                if normalize(match["value"]) in GIVEN_NAMES_RU or (
                    match["value"][:1].isupper() and is_given_name(match["value"])
                ):
                    yield "name", match["value"]
                continue
            if relation == "favourite":
                yield f"favourite {match['what'].strip().lower()}", match["value"]
            else:
                yield relation, " ".join((groups.get("whole") or match["value"]).split()).strip(" \"'«»“”.,;:-–—")
