"""English sentences as clauses of the author and of kin: "Me and my wife, who's a vet, still live in Cork" → live in Cork; wife: be a vet."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from interconnected_ai.memory.caseless import Caseless
from interconnected_ai.memory.fact_clauses import Clause
from interconnected_ai.memory.fact_words import FEMALE_KIN, ILLNESSES, KIN, MALE_KIN, PETS

_NOBODY = None  # a clause of others, or of nobody that is known

_PEOPLE = "|".join(sorted((word for word in KIN if word.isalpha()), key=len, reverse=True))
_DONE = {
    "give": "gave", "sell": "sold", "rehome": "rehomed", "put": "put", "let": "gave", "get": "got", "quit": "quit", "leave": "left", "drop": "dropped",
    "cut": "cut", "scrap": "scrapped", "move": "moved",
}  # fmt: skip


def _as_done(found: re.Match[str]) -> str:
    """ "had to sell" as "sold": what had to be done was done."""
    first, _, rest = found[1].lower().partition(" ")
    return f"{'' if found.start() else 'i '}{_DONE[first]} {rest}".strip()


def _as_work(found: re.Match[str]) -> str:
    """ "do the night shift at", "works nights at" as "work at", "works at"."""
    return {"does": "works ", "works": "works ", "doing": "working "}.get(found[1].lower(), "work ")


def _as_over(found: re.Match[str]) -> str:
    """ "I lived in Hull before that" as "I used to live in Hull"."""
    return f"{found[1]} used to {'live' if found[2].lower() == 'lived' else 'work'} {found[3]}"


# How the first words of a clause are spelled in one way, each with words of which a sentence must have one for it to be tried.
_DIALECT = tuple(
    (frozenset(words.split()), Caseless(pattern), spelled)
    for words, pattern, spelled in (
        ("does doesn doesnt", r"\bdoes ?n[o']?t\b|\bdoes not\b|\bdoesnt\b", "don't"),
        ("not isn isnt aren arent", r"\b(?:is|are)(?:n't|nt| not)\b", "be not"),
        ("not haven havent hasn hasnt", r"\bhave(?:n't|nt| not)\b|\bhas(?:n't|nt| not)\b", "have not"),
        ("longer", r"\b(i'm|we're) no longer\b", r"\1 nomore"),
        ("longer", r"\bbe no longer\b", "be nomore"),
        ("now", r"\bnow,? (i'm|we're) (?=(?:in|at|with)\b)", r"\1 now "),
        ("gf girl", r"\b(?:gf|girl friend)\b", "girlfriend"),
        ("bf boy", r"\b(?:bf|boy friend)\b", "boyfriend"),
        ("hubby", r"\bhubby\b", "husband"),
        ("wifey", r"\bwifey\b", "wife"),
        ("sis bro", r"\b(my) (sis|bro)\b", r"\1 sibling"),
        ("fav fave favs favorite favorit favourit", r"\bfav(?:orite|e|s)?\b|\bfavou?rit\b", "favourite"),
        ("alergic alergick alergik allergick allergik alllergic", r"\bal+erg(?:ic|ick|ik)\b", "allergic"),
        ("vegitarian vegeterian vegiterian", r"\bveg[ei]t[ae]rian\b", "vegetarian"),
        ("studing studiing studiying", r"\bstud(?:y|i|iy)?ing\b", "studying"),
        ("grad graded", r"\bgrad(?:ed)? from\b", "graduated from"),
        ("loove loovee luv lovee loveee loveeee", r"\bloove+\b|\bluv\b|\blove{2,}\b", "love"),
    )
)
# Idioms said another way, each with words of which a sentence must have one for it to be tried at all.
_IDIOMS = tuple(
    (frozenset(words.split()), Caseless(pattern), spelled)
    for words, pattern, spelled in (
        (
            "now these nowadays moment currently present",
            r"\b(i'm|we're) (?=(?:in|at|with|over in|out in|down in|up in|back in) [\w' -]{2,30}? "
            r"(?:(?<!right )now|these days|nowadays|currently)\b(?! (?:and|but) then))"
            r"(?!.*\b(?:for (?:the|an?) (?:weekend|week|few|night|day|couple|conference|wedding|meeting)|on holiday|visiting))",
            r"\1 now ",
        ),
        (
            "was",
            r"\b(i|we) was (?:at|with) ((?-i:[A-Z])[\w&'-]+) (?=(?:before|until|till|for \w+ years|and now|but now)\b)",
            r"\1 used to work at \2 ",
        ),
        ("being", r"^(?:honestly,? )?the (?:best|worst|hardest|nicest|weirdest|good|bad|only|main|funny|sad) (?:part|thing|bit|side) (?:of|about) being (an? [\w -]{3,30}?) (?:is|are)\b.*$", r"I'm \1"),
        ("myself", r"\bi(?:'d| would)? (?:describe|call|consider|think of) myself (?:as )?(?=an? )", "I'm "),
        ("introduce", r"^(?:let me|i should|i'd like to|allow me to) introduce myself(?: properly| first)?[:,. -]*", ""),
        ("there", r"^there(?:'s| are| is) (?:\w+|\d) of us (?=(?:living )?in an? )", "we live "),
        ("divorce", r"^(?:since|after) (?:the|my|our) divorce,? (?=(?:i|we)\b)", "I'm divorced, "),
        ("dumped left divorced", r"\bmy (girlfriend|boyfriend|wife|husband|partner|fiancée?) (?:has |just |finally )*(?:dumped|left|divorced) me\b", r"i broke up with my \1"),
        (
            "living working",
            r"^(?:honestly,? )?(living|working) (in|on|at|near) ((?-i:[A-Z])[\w' -]{1,30}?|(?<=working at )(?:an? |the )?[\w' -]{2,30}?) (?:is|has|means|makes|made|can|costs|gets)\b(?=.*\b(?:i|i'm|me|my|we|us|our)\b).*$",
            r"I'm \1 \2 \3",
        ),
        (
            "upstairs downstairs opposite next across here home",
            rf"\b((?:my|our) (?:[\w-]+ ){{0,2}}?(?:{_PEOPLE})) (?:upstairs|downstairs|opposite|next door|across the (?:road|street|hall)|back home) (?=(?:is|has|plays|works|keeps|loves|hates|speaks|lives|was)\b)",
            r"\1 ",
        ),
        (
            _PEOPLE.replace("|", " "),
            rf"\b((?:my|our) (?:[\w-]+ ){{0,2}}?(?:{_PEOPLE})) (?:over |up |down |out |back )?in ((?-i:[A-Z])[\w-]+) (?=(?:is|has|works|keeps|runs|owns|teaches|plays)\b)",
            r"\1 lives in \2 and ",
        ),
        ("who that", rf"^it(?:'s| is| was) ((?:my|our) (?:[\w-]+ ){{0,2}}?(?:{_PEOPLE})(?: (?-i:[A-Z])\w+)?) (?:who|that) ", r"\1 "),
        ("until till", r"\b(i|we) was (an? [\w -]{3,25}?) (?=(?:until|till)\b)", r"\1 used to be \2 "),
        ("next", r"^next (?:week|month|year|spring|summer|autumn|winter),? (i'm|we're) (?=(?:hik|walk|cycl|climb|sail|driv|travel|tour|visit|row|run|swim|trek|ski|back-?pack)\w*ing\b)", r"\1 planning on "),
        ("big", r"\bbig into\b", "into"),
        ("haven hasn", r"\b(?:haven't|havent|have not|have never) (?:eaten|drunk|(?:touched|had)(?= (?:a |any )?"
            r"(?:meat|dairy|sugar|alcohol|gluten|coffee|caffeine|bread|wine|beer|pork|beef|fish|seafood|eggs|milk|cheese|chicken|soda|chocolate|booze|whisky|gin|vodka|red meat|drink)\b)) "
            r"(?:a |any )?(?=\w+)", "never eat "),
        ("haven hasn", r"\b(?:haven't|havent|have not) got\b", "don't have"),
        ("without", r"\b(?:could|can)(?:n't| ?not|nt) (?:live|survive|function|do|cope|go a day) without\b", "love"),
        ("enough", r"\bcan(?:'t| ?not|t) get enough of\b", "love"),
        (
            "from",
            r"^(?:hi|hiya|hello|hey|hey up|ello|cheers|greetings)(?: (?:all|everyone|everybody|there|folks|guys|y'all|lads))? from\b",
            "greetings from",
        ),
        (
            "gotta had having",
            r"\b(?:gotta|had to|having to) (give up|give away|give|sell|rehome|put|let go of|get rid of|quit|leave|drop|cut out|scrap|move)\b",
            _as_done,
        ),
        (
            "pack packed packing jack jacked jacking chuck chucked chucking",
            r"\b(?:pack|jack|chuck)(?:ed|ing)? in (?:the )?(?=smok|fags|cig|booze|drink|job|my |work|teach|nurs)",
            "quit ",
        ),
        (
            "me",
            r"\b(?:they|work|the company|my (?:boss|company|employer|work))(?:'ve| have|'s| has)? (?:just )?(laid|let|fired|sacked|made) me( off| go| redundant)?\b",
            r"i got \1\2",
        ),
        (
            "split broke",
            r"^(?:me and ((?-i:[A-Z])[a-z]+)|((?-i:[A-Z])[a-z]+) and (?:i|me))(?: have| just|'ve)* (split|broke|broken) up\b",
            lambda found: f"i broke up with {found[1] or found[2]}",
        ),
        ("call", r"^they (?:all )?call me (?=(?-i:[A-Z]))", "everyone calls me "),
        ("as", r"^as an? [\w -]{3,30}, (?=(?:he|she|they|you|it|who)\b)", ""),
        ("before", r"\b(i|we) was (an? [\w -]{3,25}?) before (?=(?:i|we|becoming|that|this|retraining|moving)\b)", r"\1 used to be \2 before "),
        ("its it", r"^(?:hi|hey|hello|hiya)[,! ]+(?:it's|its) (?=[a-z]+,)", "my name is "),
        ("wife husband missus", r"^the (wife|husband|missus) and (?:i|me)\b", r"my \1 and i"),
        (
            "more anymore",
            r"\b(i|we) was ([\w -]{3,25}?)(?: for (?:years|ages|[\w ]{1,12} years))?(?:,| but) (?:but )?not (?:any ?more|any longer)\b",
            r"\1 used to be \2",
        ),
        ("again", r"^it's ((?-i:[A-Z])[a-z]+) again\b", r"my name is \1"),
        (
            "who",
            rf"\b((?:my|our) (?:[\w-]+ ){{0,2}}?(?:{_PEOPLE})),? (?:who's|who is) (\d{{1,2}}),? (?=(?:loves|likes|hates|has|plays|lives|works|goes|studies|is|wants)\b)",
            r"\1 is \2 and ",
        ),
        ("bilingual trilingual", r"\b((?:bi|tri)lingual)[,:] (?=(?-i:[A-Z]))", r"\1 in "),
        ("walked", r"\bwalked out (?:of|on) (?=my job)", "quit "),
        ("languages", r"\b(speaks?) (?:\w+|\d) languages ?[:–—-]+ ?", r"\1 "),
        ("kicked", r"\bkicked (?:the )?(?=smok|fags|cig|booze|drink|habit)", "quit "),
        ("half missus", r"\b(?:my|the) (?:other half|better half|missus)\b", "my partner"),
        ("the", r"\bthe (wife|husband|hubby|kids)(?=(?:'s| is| was| has| works| are| have| and i)\b)", r"my \1"),
        (
            "eldest youngest oldest middle little lo",
            r"\b(my|our) (?:eldest|youngest|oldest|middle one|little one|lo)(?=(?:'s| is| was| has| just| starts?| turned| started| goes| loves)\b)",
            r"\1 kid",
        ),
        ("birthday", r"\bit's my birthday (?=on|in)", "my birthday is "),
        (
            "the",
            r"^the (dog|cat|puppy|kitten|kids?|twins|boys?|girls?|baby|pup)(?='s (?:name|called|named|\d)| (?:is|are) (?:called|named|\d)|s are \d)",
            r"my \1",
        ),
        ("retiring retire retired", r"\b(?:me|i|myself) and the (wife|husband|missus|kids)\b", r"my \1 and i"),
        ("worn spoken kept", r"\b(?:i've|i have) (?:always |only |also )?worn (?=glasses|contacts|contact|a hearing|hearing|braces)", "i wear "),
        (
            "shift shifts nights",
            r"\b(do|does|doing|works?|working) (?:the )?(?:(?:night|day|late|early|morning|evening|graveyard|weekend|back) shifts?|nights|earlies|lates|shifts) (?=(?:at|in|for) )",
            _as_work,
        ),
        ("here btw by", r"^it's ((?-i:[A-Z])[a-z]+),? (?:here|btw|by the way)\b", r"my name is \1"),
        (
            "me",
            r"\b(?:they|the (?:doctors?|gp|clinic|hospital)|my (?:doctor|gp|dr|doc|psychiatrist|cardiologist|consultant|neurologist)|doctors?|doc|gp|dr|"
            r"psychiatrist|cardiologist)(?:'ve|'s| have| has)? (?:just )?(?:put|started|got|prescribed|given|gave|stuck) me (?:back )?"
            r"(?:on(?:to)? )?(?:a course of )?(?=[a-z])",
            "i am on ",
        ),
        (
            "spent",
            r"\bspent (?:\w+ ){1,4}in ((?-i:[A-Z])[\w' -]*?) (?:before that|before this|previously|until then|up to then)\b",
            r"used to live in \1",
        ),
        ("before previously prior", r"\b(?:before that|before this|previously|prior to that),? (i|we) lived\b", r"\1 used to live"),
        ("before previously prior", r"\b(?:before that|before this|previously|prior to that),? (i|we) worked\b", r"\1 used to work"),
        (
            "before until previously",
            r"\b(i|we) (lived|worked) ((?:in|at|for|as) [\w' -]+?) (?:before that|before this|until then|previously)\b",
            _as_over,
        ),
        ("lil littl wee", r"\b(my|our) (?:lil|lil'|littl|wee) ", r"\1 little "),
        (
            "his her their",
            rf"\b((?:my|our) (?:[\w-]+ ){{0,2}}?(?:{_PEOPLE})) and (?:his|her|their) (?:wife|husband|kids|family|partner|boyfriend|girlfriend) (?=(?:live|have|moved|own|are|run)\b)",
            r"\1 ",
        ),
        (
            "s",
            rf"\b((?:my|our) (?:[\w-]+ ){{0,2}}?(?:{_PEOPLE}))'s (?=(?:got|been|had|just|moved|gone|started|left|quit|lost|become|bought|taken)\b)",
            r"\1 has ",
        ),
    )
)  # fmt: skip
_Spelling = tuple[frozenset[str], Caseless, str | Callable[[re.Match[str]], str]]


def _by_word(table: Sequence[_Spelling]) -> dict[str, tuple[int, ...]]:
    """The numbers of the rows that are tried where a sentence has a word, by that word."""
    found: dict[str, tuple[int, ...]] = {}
    for number, (words, _, _) in enumerate(table):
        for word in words:
            found[word] = (*found.get(word, ()), number)
    return found


_IDIOMS_BY_WORD, _DIALECT_BY_WORD = _by_word(_IDIOMS), _by_word(_DIALECT)
# "Now that I'm retired I have time", "being a nurse I know": a clause that leads over to another, and where that begins.
_LEADING = tuple(
    (re.compile(pattern, re.IGNORECASE), said)
    for pattern, said in (
        (
            r"^(?:since|because|as|given(?: that)?|seeing (?:as|that)|now that|considering(?: that)?) (?=(?:I|we|my|our|I'm|I've|we're|we've)\b)",
            "",
        ),
        (r"^as someone (?:who's|who is) ", "I'm "),
        (r"^as someone (?:who has|with) ", "I have "),
        (r"^being (?=an? )", "I'm "),
        (r"^(?=(?:living|working) (?:in|at|as|for) [^,]{3,40},? (?:I|we|so I|so)\b)", "I'm "),
        (
            r"^with (?=(?:an?|two|three|four|five|\d) (?:small |young |little |grown |teenage )?(?:kids?|children|cats?|dogs?|toddlers?|babies|sons|daughters|"
            r"boys|girls|teenagers)\b[^,]{0,20},? (?:I|we)\b)",
            "I have ",
        ),
    )
)
_LEADING_WORDS = frozenset("since because as given seeing now considering being living working with".split())
_OTHER_CLAUSE = re.compile(r"(?<=[\w'])\s(?:at home )?(?=(?:so )?(?:I|we|I'm|I've|we're|I'd|I'll|i)\s)")
_BARE_KIN_FIRST = re.compile(
    r"^(?=(?:mum|mom|dad|gran|grandma|grandpa|nan|husband|wife|hubby|boyfriend|girlfriend|sister|brother|son|daughter|kid|partner|grandad|granddad|"
    r"mother|father)(?:'s| is| passed| died| moved| was| has| had| lives| works| loves| hates| got| grew| comes| speaks| drives)\b)",
    re.IGNORECASE,
)
_SIBLINGS = {"sis": "sister", "bro": "brother"}

_DAYS = "(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_LEAD = Caseless(
    r"^(?:(?:ok(?:ay)?|so|well|oh|ugh|hey|hi|hello|hiya|heya|yo|thx|thanks|ty|yes|yeah|yep|yup|no(?=[,.!]| (?:i|i'm|i've|we|we're|my|it|thanks?|worries)\b)|nope|nah|also|plus|and|but|or|then|now(?! (?:in|at|with)\b)|"
    r"honestly|actually|basically|anyway|anyways|seriously|literally|currently|personally|sadly|unfortunately|luckily|fortunately|"
    r"incidentally|apparently|obviously|btw|fyi|ps|tbh|ngl|imo|lol|haha|look|listen|still|recently|lately|finally|originally|"
    r"please note|note|side note|fun fact|update|edit|about me|for context|context|quick background|background|bit of background|bit of context|"
    r"a bit about me|little about me|just so you know|just fyi|so you know|you see|you know|i mean|i guess|as you know|as i said|"
    r"as i mentioned|for the record|to be honest|to be fair|to be clear|in fact|by the way|in case|of course|good news|bad news|"
    r"these days|nowadays|at the moment|at present|right now|for now|as for me|on a personal note|at home|over here|"
    r"after (?:\w+ ){1,3}(?:years|months)|(?:before|after|since|during|until|prior to) (?!i\b|we\b|he\b|she\b|they\b|my \w+ \w+s\b|that i\b)(?:[\w'-]+ ){0,3}?[\w'-]+,? (?=(?:i|we)(?:'\w+)? )|(?:it's |it has |been )?(?:about |nearly |almost |over )?(?:\d+|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|a few|several) years (?=(?:[a-z]+ing|veggie|vegan|vegetarian|sober|clean|married|smoke free)\b)|in my (?:spare|free) time|in my family|in the evenings?|at (?:night|weekends|work)|"
    r"(?:as of |since |earlier |early |late )?(?:last|this|next) (?:week|month|year|spring|summer|autumn|fall|winter|night|january|february|"
    rf"march|april|may|june|july|august|september|october|november|december|{_DAYS})|yesterday|today|"
    r"(?:a few|two|three|a couple of) (?:weeks|months|years|days) ago|in (?:\d{4}|january|february|march|april|may|june|july|august|"
    rf"september|october|november|december)|on {_DAYS}|the (?:thing|fact|truth) is|my doctors? (?:says?|said|told me|thinks)|(?:i think )?i should (?:say|mention|add)|"
    r"(?:i think |i believe |i'm sure |as )?(?:i|i've|i have|i think i|i may have|i might have|i had)(?: already| also| just)? (?:told|mentioned|said)(?: (?:to )?you| it| this)?(?: before| earlier| already| last time)?(?= (?:that |i|my|we|our)\b)|"
    r"(?:it )?turns out(?: that)?|(?:please )?(?:remember|don't forget|keep in mind|bear in mind)(?: that)?(?= (?:i|i'm|i've|my|we|we're)\b)|(?:i )?forgot to (?:say|mention|tell you|add)|did i (?:mention|say|tell you)|(?:you should know|be aware|bear in mind|important to (?:note|know)|worth (?:mentioning|saying|noting|knowing)|in case (?:it matters|it helps|you need it|you're wondering))|"
    r"from now on|that's why|which is why|good to know|nice to meet you|good (?:morning|afternoon|evening))(?: that)?\b[\s,.!:-]*)+",
)
# Times and manners that a clause may begin with, and their first words.
_FIRST_TIME = re.compile(
    rf"^(?:on paper|by (?:day|night|profession|trade|training)|every (?:{_DAYS}|week|month|year|morning|evening|night|summer|winter|weekend|now and then)|"
    rf"most (?:days|mornings|evenings|weekends|nights|{_DAYS}s)|on (?:{_DAYS}s|weekends|weekdays)|at weekends|for (?:the (?:past|last) )?(?:\w+|\d+) (?:years|months)(?: now)?),? (?=(?:i|we)\b)",
    re.IGNORECASE,
)
_FIRST_TIME_WORDS = frozenset("on by every most at for".split())
_ADVERB = (
    r"(?:now|currently|still|also|just|both|only|already|quite|very|so|kinda|kind of|sort of|always|all|even|ever|here|btw|"
    r"fyi|a bit|pretty|half(?! (?-i:[A-Z]))|myself|too|presently|either|again|of course|as well|at the moment|at present|right now|these days|"
    r"for now|by the way|to be honest|tbh|ngl|in fact|then|rather|well|long|once more|a huge|more or less|ofc|sadly|yesterday|"
    r"legit|low-?key|high-?key|big time|super|mostly|"
    r"(?!(?:family|fly|reply|apply|rely|supply|early|lonely|elderly|friendly|silly|ugly|likely|lovely|july|italy|nearly|hardly|barely)\b)"
    r"[a-z]{2,}ly)"
)
_AUX = r"(?:be|have|been|was|not|don't|can't|will|nomore|be not|have not|be nomore)"
_ADVERBS = Caseless(rf"^((?:{_AUX}\s+)?)(?:{_ADVERB},?\s+)+")

_KIN_WORDS = "|".join(sorted(KIN, key=len, reverse=True))
_OLDER = (
    r"(?:(?:older|younger|little|big|elder|twin|best|eldest|youngest|oldest|late|new|baby|only|ex|pet|middle|dear|lovely|beautiful|"
    r"wonderful|current|old|good|close|own|sweet|two|three|poor|first|second|former|rescue|step|half|great|identical|four|five|six|[2-9](?= )|\d+[- ]year[- ]old)[ -])*"
)
_HE_NAME = r"(?:,? (?:called |named )?(?P<name>(?-i:[A-Z])[\w'-]*?(?: (?-i:[A-Z])[\w-]+)?)(?=,|'s\b|\s|$),?)?"
_KIN = Caseless(
    rf"^(?:both of |both |all |one of )?(?:my|our)\s+{_OLDER}(?P<who>{_KIN_WORDS})(?P<law>[ -]in[ -]law)?(?!')(?<!s')\b{_HE_NAME}(?:,? \d+,)?\s*(?=$|\S)",
)
_KIN_IS = Caseless(
    rf"^(?:my|our)\s+{_OLDER}(?P<who>{_KIN_WORDS})(?P<law>[ -]in[ -]law)?(?:'s|s')?\s+name(?:'s| is| was|s)\s+|"
    rf"^(?:my|our)\s+{_OLDER}(?P<who2>{_KIN_WORDS})(?P<law2>[ -]in[ -]law)?{_HE_NAME.replace('name>', 'name2>')}'s\s+(?!(?:own )?(?:{_KIN_WORDS}|birthday|house|car|job|dog|cat|phone|favou?rite|old|new|name|friend|boss|email|number|place|family|life|side)\b)",
)
_KIN_BIRTHDAY = Caseless(rf"^(?:my|our)\s+{_OLDER}(?P<who>{_KIN_WORDS})(?:'s|s|s')? birthday(?:'s| is)(?: on)?\s+")
_BARE_KIN = re.compile(
    r"^(?P<who>mum|mom|dad|gran|grandma|grandpa|granny)\b(?P<rest>(?:'s| is| was| has| lives| works)\b.*)",
    re.IGNORECASE,
)
# Kin that is spoken of anywhere in a clause, so that "he" and "she" of the next are known.
_MENTIONED = re.compile(
    rf"(?<!not )\b(?:my|our)\s+{_OLDER}(?P<who>(?!company|team|project|startup|kids?\b|children|child|baby)(?:{_KIN_WORDS}))(?![\w-])(?!(?:'s|') (?:[\w-]+ )?(?:{_KIN_WORDS})\b)",
    re.IGNORECASE,
)
_AUTHOR = re.compile(
    rf"^(?:(?:both )?my {_OLDER}(?:{_KIN_WORDS}|family) and (?:i|me)|(?:me|i|myself) and my {_OLDER}(?:{_KIN_WORDS}|family)|i|we|me)(?![\w-])(?P<verb>'(?:m|ve|re|ll|d|s)\b)?,?\s*",
    re.IGNORECASE,
)
_THEY = re.compile(r"^(?P<who>he|she|they|it|who|that)(?P<verb>'(?:s|re|ve|ll|d)\b|(?!')\b)\s*", re.IGNORECASE)
_THEIR_NAME = re.compile(r"^(?P<who>his|her|their|its|whose) name(?:'s| is| was)\s+", re.IGNORECASE)

_BASE = (
    "live reside work love like hate enjoy adore prefer dislike detest loathe despise own speak know study attend teach play "
    "drive run plan intend hope want suffer take collect keep sing paint practise practice eat drink wear commute volunteer "
    "lecture learn manage lead come hail grow do go ride breed raise avoid follow support use need call weigh stand rent hold serve "
    "identify major struggle smoke understand watch read write make freelance bake brew ski swim climb sail fish garden"
).split()
_PAST = (
    "moved relocated left quit resigned retired got bought sold adopted joined started began finished graduated became lost gave "
    "broke split turned switched changed dropped stopped decided grew married divorced inherited named found landed separated "
    "lived worked studied learned learnt planned chosen decided agreed purchased settled emigrated immigrated earned completed "
    "hired promoted diagnosed totalled totaled crashed wrecked binned flogged rehomed ditched prescribed tied went took given did passed trained tutored spent picked rented defended named christened visited qualified jacked kicked packed upgraded downsized retrained resettled transferred suffered swapped traded rented built cut fallen fell taught owned had taken gone handed picked "
    "upgraded downsized qualified closed shut worn signed enrolled transferred passed majored ditched scrapped donated rescued welcomed proposed enlisted outgrown outgrew dumped kept called turning came died"
).split()
_PARTICIPLES = (
    "living working based located residing studying learning planning hoping trying saving dating married engaged single divorced "
    "widowed allergic vegan vegetarian pescatarian retired pregnant born raised from originally obsessed fluent into fond diabetic "
    "asthmatic doing taking training staying majoring self-employed unemployed employed freelancing enrolled thinking getting "
    "happily proud passionate crazy keen lactose gluten coeliac celiac petrified frightened deaf colourblind colorblind left-handed afraid scared terrified bilingual native "
    "hooked putting setting teetotal half quarter disabled prepping dating "
    "sober fluent moving relocating switching about transitioning turning expecting recovering separated addicted raising renting teaching running owning"
).split()
_THIRD = {
    **{verb + "s": verb for verb in _BASE},
    "studies": "study", "goes": "go", "does": "do", "teaches": "teach", "watches": "watch", "has": "have", "had": "had",
    "practises": "practise", "turns": "turn", "is": "be", "are": "be", "am": "be",
}  # fmt: skip
_VERBS = "|".join(
    sorted(
        (
            *_BASE,
            *_PAST,
            "have",
            "be",
            "am",
            "been",
            "was",
            "don't",
            "can't",
            "never",
            "no longer",
            "used to",
            "not",
            "hates?",
        ),
        key=len,
        reverse=True,
    )
)
_THIRD_VERBS = "|".join(sorted((*_THIRD, *_PAST, "was", "don't", "can't", "used to"), key=len, reverse=True))
_STARTS = (
    rf"(?:(?:{_ADVERB}|i guess|please|hopefully|maybe|sometimes|my|our|in|at|on|(?:next|last|this) \w+|today|yesterday|tomorrow)\s+)*?"
    rf"(?:(?:i|we|he|she|they|it|his|her|you|this|that|there|nobody|everyone|people)(?:'\w+)?\b(?! favourite)|(?:my|our)\s+[\w' -]{{2,40}}?\s(?:{_THIRD_VERBS}|and i)\b|(?:my|our)\s+\w+'s\b|(?:{_VERBS}|{_THIRD_VERBS})\s|please\b|always\b|never\b)"
)
_BREAK = Caseless(
    r"\s*(?P<mark>[;…()]|:(?=\s|$)|\.\.+|(?<=\s)[-–—]+(?=\s)|—|,(?!\d|\s?(?:19|20)\d\d\b|\s\d{1,2}(?:, \d{1,2})*,? and \d))\s*"
    r"|\s+(?P<word>but|because|cos|coz|cuz|bc|bcs|bcuz|although|though|while|whereas|yet|when|whenever|until|till|before|after|since|which|who|whose|where|"
    r"so(?! (?:much|many|far|long)\b)|so that|apart from|except|despite)\b\s*"
    rf"|(?<!\bme)(?<!\bmyself)\s+(?P<soft>and|&|plus|then|or|\+|as)\s+(?={_STARTS})",
)
_BEGINS, _AND = Caseless(_STARTS), re.compile(r"^(?:and|or|but|so)\s+", re.IGNORECASE)
_PREDICATE = Caseless(
    rf"(?:{_ADVERB}\s+)*(?:{_THIRD_VERBS}|be|will|live|work|love|like|own|speak|have|play|study|go|eat|drink|hate|want|teach|run|come|drive|turn|start|keep|named|called|just|died|passed|makes?|owns?)\b"
)
_SKIPPED = frozenset("when whenever while until till before after since which where apart from except despite".split())
_AGE = re.compile(r"^(?P<age>[1-9]\d)\s?(?:yo|y/o|yrs?|years? old|f|m)?$", re.IGNORECASE)
_HEDGED = Caseless(
    r"\b(?:would|wouldn't|could|couldn't|i'd|we'd|he'd|she'd|might|(?:i|we|he|she|they|it|who|which|that) may|maybe|perhaps|probably|possibly|wish|should|shouldn't|must|"
    r"will never|guess|suppose|almost|nearly|practically|basically|someday|one day)\b",
)
_LAST_FRAGMENT = re.compile(r"\b(?:and|or|&)\b", re.IGNORECASE)
_FRAGMENT_WORDS = 4
_SHORT = 4  # words, below which what stands beside them is said of the same
_NO_MORE = re.compile(r"\s+(?:anymore|any more|any longer|no more|these days anymore)\b.*$", re.IGNORECASE)
_ANYMORE = re.compile(r"^not (?P<rest>.+?)\s+(?:anymore|any more|any longer|no more)\b.*$", re.IGNORECASE)
# Of the author, though somebody or something else does it.
_OF_MINE = Caseless(
    r"^(?:my|our|name's|name is|they (?:named|called|christened) me|my parents (?:named|called) me|(?:all[- ]time )?favourite|new address|bday|birthday|this is|the name|the twins|the kids|everyone|everybody|people call|my friends|friends|most people|they all|(?:please |just )*call me|"
    r"you can call|feel free|greetings from|home(?:'s| is)\b|(?-i:[A-ZÀ-Ý])\w+ (?:is my|here$))",
)
_OTHERS = Caseless(
    r"^(?:you|they|he|she|it|the|this|that|these|those|there|their|his|her|your|its|some|someone|somebody|nobody|no one|none|every|each|many|most|any|anyone|"
    r"who|what|let|let's|if|can|could|do|does|did|is|are|has|had)\b|^(?-i:[A-Z])[\w-]+(?: (?-i:[A-Z])[\w-]+)? (?:is|was|lives|works|has|says|likes|loves|wants|and)\b",
)
_GERUNDS = re.compile(
    r"^(?:living|working|studying|doing|taking|getting|running|raising|renting|teaching|trying|saving|moving|learning|owning|planning|training)\b",
    re.IGNORECASE,
)
_THIRD_ONLY = "|".join(sorted((*_THIRD, "don't", "can't", "used to"), key=len, reverse=True)).replace("|am|", "|")
_IN_THIRD = Caseless(rf"(?:{_THIRD_ONLY})\b")
_PAST_VERB = Caseless(rf"^(?:{'|'.join(_PAST)}|was|had|been|have|not|don't|can't|never|no longer|used to|be)\b")
_OF_DOING = Caseless(r"^[a-z]+ing\b.*\s(?:is|are|can|costs?|must|makes?|takes|sucks|feels|sounds|seems|was|has)\b")
_IS_DOING = re.compile(
    r"^be(?:en)? (?:[a-z]+ing|gonna)\b(?! (?:in|at|near)\b)|^be [a-z]+ (?:to|about|that|of|with|by)\b", re.IGNORECASE
)
_GOES_ON = Caseless(
    r"\bto (?!the|a|an|my|our|it|me|and)[a-z]+|^(?:will|can|gonna|let|try)\b|\bgonna\b|^be (?:going|trying|planning|hoping|thinking)\b",
)
_IMPERATIVES = re.compile(
    r"^(?:have|enjoy|take|keep|do|go|run|play|collect|use|read|watch|write|avoid|hold|make|support|plan|rent|manage|learn|practi[sc]e|come|understand|"
    r"struggle|serve|drive|raise|be|not|don't|drink|eat|like|lead|call(?! me)|stand|wear|weigh|need|want|speak to|speak [a-z]+(?: please)?$|study (?:the|this|these)|teach|ride|follow|sing|paint|hope|never|can't|suffer|breed|identify|own|train)\b",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"^(?:not (?:really )?(?:an? )?(?:big |huge )?(?:fan|into|fond|keen|married|single)|can't (?:stand|eat|do|drink|drive|abide|bear|stomach|have|tolerate|handle|digest)|don't (?:like|eat|drink|have|own|live|work|do)|never (?:eat|drink)|like (?:my)|have (?:an?|two|three) (?:\w+ )?(?:dog|cat|son|daughter|kid)s?|own|drive an?)\b",
    re.IGNORECASE,
)
_PAST_PARTICIPLE = re.compile(r"^(?:born|married|divorced|originally|allergic|based|retired|raised)\b", re.IGNORECASE)
_SELF_INTRODUCED = re.compile(r"\bhere$|\bfrom\b", re.IGNORECASE)
_ASIDES = re.compile(
    r",\s*(?:by the way|btw|actually|of course|however|though|fyi|to be honest|in fact|as you know|honestly|unfortunately|sadly)\s*,",
    re.IGNORECASE,
)
_AILMENTS = frozenset(ILLNESSES.replace("\\s+", " ").split()) - frozenset(
    "add a high heart ms disorder disease pressure stroke sleep".split()
)
_MY_AILMENT = re.compile(
    rf"\bmy (?:bad |awful |chronic |severe |mild |old )?(?P<value>(?:type (?:1|2|one|two) )?(?:{'|'.join(sorted(_AILMENTS, key=len, reverse=True))}|high blood pressure))(?![\w'-])"
    r"(?! (?:sign|era|order|phase|diet|app|playlist|doctor|dog|cat|nurse|meds?|test|book|course))",
    re.IGNORECASE,
)
_MY_ALLERGY = re.compile(
    r"\bmy (?:severe |bad |awful |stupid )?(?P<value>(?!food\b|skin\b|bad\b|new\b|own\b|main\b|only\b|worst\b)[a-z]{3,}) allergy\b",
    re.IGNORECASE,
)
_NAMED_KIN = KIN - frozenset(
    "company team project startup doctor therapist teacher landlord coach tutor mentor baby ex parents sisters brothers".split()
)
_KIN_BY_NAME = re.compile(
    rf"\b(?:my|our) {_OLDER}(?P<who>{'|'.join(sorted((word for word in _NAMED_KIN if word.isalpha()), key=len, reverse=True))}) "
    r"(?:called |named )?(?P<name>(?-i:[A-Z][a-z]{2,}))(?:'s)?(?!['-]?\w)(?<!day)(?! (?:and|&|or)\b)(?=$|[,.;!?]| (?-i:[a-z]))",
    re.IGNORECASE,
)
_HAVING = re.compile("^have (?=(?:been|had|lived|worked|always|never|just|recently) )", re.IGNORECASE)
_OF_ANOTHER = re.compile(r"\s(?:you|he|she|they|people|everyone)(?:'\w+)?\s[a-z]", re.IGNORECASE)
_GIVEN_NAME = re.compile(r"^[A-ZÀ-Ý][a-zà-ÿ]+$")
_FILLING = Caseless(
    r"(?:[,\s]+(?:btw|lol|haha+|hehe|tbh|though|actually|by the way|fyi|ofc|atm|rn|at all|xd+|x+|innit|mate|now|these days|nowadays|at the moment|right now|currently|at present|please|pls|thanks|thx|:\)|;\)|:d|❤️?|🙂|😊|😂))+$",
)
_NOW_AT = re.compile(
    r"^(?:be |am |is |are )?(?:now|currently) (?=(?:(?:up|down|over|out|back) )?(?:in|at|with)\b)", re.IGNORECASE
)
_BARE_VERB = Caseless(rf"^(?:{_VERBS}|{_THIRD_VERBS})(?=\s|$)")
_BARE_PARTICIPLE = Caseless(rf"^(?:not (?:really |a )?)?(?:{'|'.join(_PARTICIPLES)})\b")
_DOES = re.compile(rf"^do (?=(?:{'|'.join(_BASE)}|have)\b)")
_HAVE_DONE = Caseless(rf"^have (?=(?:{'|'.join(_PAST)})\b)")


_BARE_ADVERBS = Caseless(rf"^(?!both of\b|now (?:in|at|with)\b)(?:{_ADVERB}\s+)+(?!longer\b)")
_SINCE = re.compile(
    r"\b(?:since|all (?:my|our) (?:life|lives)|my whole life|for (?:\d+|\w+|a few|many|several|over \w+) (?:years|months|weeks))\b",
    re.IGNORECASE,
)
_BESIDE = Caseless(
    r",? (?:and|&|plus|but) (?:also )?(?P<counted>(?=(?:an?|one|two|three|four|five|six|some|my|\d+)\b))?",
)
# Kin that a clause of the author speaks of, with a name or an age.
_KIN_NAMED = Caseless(
    rf"\b(?:my|our|(?:an?|one)(?! (?:[\w-]+ )?(?:friend|mate|colleague|coworker|neighbou?r|family|couple|mother|father|mom|dad|mum|kid|child|baby|pet|partner|parent)\b))\s+(?:(?P<age>\d{{1,2}})[- ]?(?:yo|y/o|years?[- ]old)\s+)?(?:{_OLDER}|(?:[\w-]+ ){{1,2}}?)(?P<who>(?!company|team|project|startup|boss|doctor|therapist|teacher)(?:{_KIN_WORDS}))(?!'|-)\b(?: (?:called|named))?(?:,? (?P<name>(?-i:[A-Z])[\w'-]*))?",
)
# "worked as a chef for years, now I drive a cab": what lasted is over where the rest says how it is now.
_WORD = re.compile("[a-z]+")
_IS_NOW = re.compile(r"[,;.]\s*(?:but |and |so )?(?:now|these days|nowadays)\b|\bbut now\b", re.IGNORECASE)
_LASTED = re.compile(r"(?<!have )(?<!i've )(?<!we've )\b(work|live)e?d (?=(?:as|at|in|for) )", re.IGNORECASE)
_NAMED_THEM = re.compile(
    r"^(?:named|called|christened|calling) (?P<whom>him|her|it|them) (?P<name>(?-i:[A-Z])[\w'-]*)", re.IGNORECASE
)
_PET_NAMED = re.compile(
    rf"\b(?:an?|his|her|their|one) (?:[\w-]+ ){{0,2}}?(?P<who>{'|'.join(word for word in sorted(PETS) if word.isascii())}) (?:called|named) (?P<name>(?-i:[A-Z])[\w'-]*)",
    re.IGNORECASE,
)
_KIN_ONES = KIN - frozenset("company team project startup".split())
_COUNTED_KIN = re.compile(r"(?:^|\b(?:an?|new|rescue|our|my|one|lab|little|baby) )(?:[\w-]+ )?[\w-]+$", re.IGNORECASE)
_HEIGHT = re.compile(
    r"^(?:\d'\d{0,2}\"?|\d ?ft ?\d{0,2}|(?:five|six) (?:foot|feet)(?: \w+)?|1[.,]\d\d ?m|1\d\d ?cm)$", re.IGNORECASE
)
_CALLED_ME = re.compile(
    r"^(?:they|my (?:parents|mum|mom|dad|mother|father)) (?:named|called|christened) me (?P<name>(?-i:[A-Z])[\w'-]*)",
    re.IGNORECASE,
)
_BABY = re.compile(r"(?:just )?(?:an? |our )(?:\w+ )?(?:baby|little) ?(?:boy|girl)?\b", re.IGNORECASE)
_CHILDREN = frozenset("son daughter baby twins kid child girl boy".split())
_CHILD = 15  # years up to which a bare number at the beginning is no age of an author
_ALSO_LIVING = re.compile(
    r"\w(?<!\bor)(?<!\bof)(?<!\blike)(?<!\babout)(?<!\bhate)(?<!\bthan)(?<!\bfor)(?<!\bby)(?<!\bwith)(?<!\bon)(?<!\bto) (?:and |who's |currently )*((?:living|based|residing|working|studying) (?:in|at|near|for)\b)",
    re.IGNORECASE,
)
_PERFECT = {
    "loved": "love",
    "liked": "like",
    "enjoyed": "enjoy",
    "hated": "hate",
    "adored": "adore",
    "preferred": "prefer",
}
_LASTING = {
    "worn": "wear",
    "kept": "keep",
    "lived": "live",
    "worked": "work",
    "studied": "study",
    "taught": "teach",
    "played": "play",
}


def english_clauses(sentence: str) -> Iterator[Clause]:
    """The clauses of a sentence that are of its author or of kin; what is said of others or in doubt is left out."""
    words = _words(sentence)
    for _, idiom, said in _for_words(_IDIOMS, _IDIOMS_BY_WORD, words):
        sentence = idiom.sub(said, sentence)
    if _BARE_KIN_FIRST.match(sentence):
        sentence = f"my {sentence}"
    for _, pattern, spelled in _for_words(_DIALECT, _DIALECT_BY_WORD, words):
        sentence = pattern.sub(spelled, sentence)
    if sentence[:5] in ("Have ", "have "):
        sentence = _HAVING.sub("I have ", sentence)
    if "," in sentence:
        sentence = _ASIDES.sub(" ", sentence)
    if ("now" in words or "nowadays" in words or "these" in words) and _IS_NOW.search(sentence):
        sentence = _LASTED.sub(r"used to \1 ", sentence)
    if sentence.partition(" ")[0].lower() in _LEADING_WORDS:
        sentence = _apart(sentence)
    if words.isdisjoint(("my", "our")):
        yield from _Reader().read(sentence)
        return
    read = list(_Reader().read(sentence))
    yield from read
    yield from (clause for clause in _possessed(sentence, words) if clause not in read)


def _possessed(sentence: str, words: frozenset[str]) -> Iterator[Clause]:
    """What "my eczema" and "our dog Rufus" say wherever they stand: an illness, a name."""
    if not words.isdisjoint(_AILMENTS):
        for found in _MY_AILMENT.finditer(sentence):
            yield Clause("", f"have {found['value']}")
    if "allergy" in words:
        for found in _MY_ALLERGY.finditer(sentence):
            yield Clause("", f"bare allergic to {found['value']}")
    if not words.isdisjoint(_NAMED_KIN):
        for found in _KIN_BY_NAME.finditer(sentence):
            yield Clause(found["who"].lower(), f"named {found['name']}")


def _for_words(
    table: Sequence[_Spelling], by_word: Mapping[str, tuple[int, ...]], words: frozenset[str]
) -> list[_Spelling]:
    """The rows of a table of which a sentence has a word, in their order."""
    numbers = {number for word in words if word in by_word for number in by_word[word]}
    return [table[number] for number in sorted(numbers)]


def _apart(sentence: str) -> str:
    """A sentence whose first clause leads over to the second, with a comma between them and the first told as it stands."""
    for pattern, said in _LEADING:
        if found := pattern.match(sentence):
            return ", ".join(_OTHER_CLAUSE.split(said + sentence[found.end() :], maxsplit=1))
    return sentence


def _words(sentence: str) -> frozenset[str]:
    return frozenset(_WORD.findall(sentence.lower()))


def _pieces(sentence: str) -> list[tuple[str, str]]:
    """(what joins it to the one before, text) of the parts of a sentence; enumerations stay together."""
    found, start, joint = [], 0, ""
    for match in _BREAK.finditer(sentence):
        found.append((joint, sentence[start : match.start()].strip()))
        joint, start = (match["mark"] or match["word"] or match["soft"]).lower(), match.end()
    found.append((joint, sentence[start:].strip(" .!?\"'")))
    for place, ((_, text), (mark, country)) in enumerate(pairwise(found)):
        if (
            mark == "," and _IN_TOWN.match(text) and _COUNTRY.match(country)
        ):  # "I'm in Melbourne, Australia" lives there
            found[place] = (found[place][0], re.sub(r"\b(in) ", r"now \1 ", text, count=1))
    return _joined(found)


_RETIRED = re.compile(
    r"retired (?:from|in|last|at|after|early|two|this|and|now|when|as|on|just|a few|ages|years|\d)\b", re.IGNORECASE
)
_COUNTED = re.compile(r"(?:one|two|three|four|five|six|\d) [a-z]+$", re.IGNORECASE)
_TASTE_VERBS = frozenset("love like hate enjoy adore prefer dislike detest loathe despise".split())
_DOES_SO = re.compile(r"[a-z]+(?<!s)s (?:for|in|at|to|the|a|an|her|his|my|every|all)\b")  # "and cooks for twelve"
_IN_TOWN = re.compile(r"^(?:I'm|we're) in (?-i:[A-Z])[\w-]+(?: (?-i:[A-Z])[\w-]+)?$", re.IGNORECASE)
_COUNTRY = re.compile(r"^[A-Z][\w.]+(?: [A-Z][\w]+)?$")


def _joined(pieces: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """ "I like tea", "cake", "jam and scones" are one piece."""
    found: list[tuple[str, str]] = []
    place = 0
    while place < len(pieces):
        joint, text = pieces[place]
        end = place + 1
        while end < len(pieces) and pieces[end][0] == "," and _is_item(pieces[end][1]):
            end += 1
        last = pieces[end - 1][1] if end > place + 1 else ""
        if last and _LAST_FRAGMENT.search(last) and text:
            text = ", ".join([text, *(one for _, one in pieces[place + 1 : end])])
            place = end
        else:
            place += 1
        found.append((joint, text))
    return found


def _is_item(text: str) -> bool:
    words = text.split()
    begun = _AND.sub("", text)
    return (
        0 < len(words) <= _FRAGMENT_WORDS
        and not _BEGINS.match(begun + " ")
        and not _BARE_PARTICIPLE.match(text)
        and not words[0][0].isdigit()
    )


class _Reader:
    """Goes through one sentence and remembers who is spoken of."""

    def __init__(self) -> None:
        self._who: str | None = ""
        self._kin: list[str] = []  # that were named, the latest last
        self._head = ""
        self._is_since = False
        self._is_state = False  # the last clause said what somebody is, so that a bare word may go on
        self._is_plain = False  # … and had no infinitive that a bare verb could go on
        self._is_first = True
        self._is_introduced = False  # an age or a name began a list of what the author is
        self._owned: str | None = None  # kin that the last clause ended with

    def read(self, sentence: str) -> Iterator[Clause]:
        is_hedged = False
        self._is_since = _SINCE.search(sentence) is not None
        pieces = _pieces(sentence)
        yield from self._introduction(pieces)
        for joint, text in pieces:
            if text.partition(" ")[0].lower() in _FIRST_TIME_WORDS:
                text = _FIRST_TIME.sub("", text)
            text = _BARE_ADVERBS.sub("", _LEAD.sub("", text)).strip(" ,")
            text = _FILLING.sub("", text)
            if not text:
                continue
            mentioned: list[str] = []
            if "my " in text or "My " in text:
                mentioned = [met["who"].lower() for met in _MENTIONED.finditer(text) if not _KIN.match(text)]
            is_of_them = bool(mentioned) and _THEY.match(text) is not None
            if not is_of_them:
                self._kin += mentioned
            if joint in _SKIPPED:
                self._is_state = self._is_plain = False
                continue
            if is_hedged or _HEDGED.is_in(text):
                is_hedged = len(text.split()) < 3  # "Maybe, …" is of what follows
                self._who, self._head = _NOBODY, ""
                continue
            for clause in self._clauses(joint, text):
                yield clause
                yield from self._coordinated(clause)
            if is_of_them:  # "he's allergic to my cat" is not of the cat
                self._kin += mentioned
            self._is_first = False

    def _introduction(self, pieces: list[tuple[str, str]]) -> Iterator[Clause]:
        """ "Nas, 27, into comedies" and "34, a driver in Derby": a name and an age, or an age, that a list begins with."""
        if len(pieces) > 2 and _GIVEN_NAME.match(pieces[0][1]) and _AGE.match(pieces[1][1]):
            yield Clause("", f"be called {pieces.pop(0)[1]}")
        if len(pieces) > 1 and _HEIGHT.match(pieces[0][1]):
            yield Clause("", f"bare {pieces.pop(0)[1]}")
            self._is_state = self._is_plain = True
            self._is_first = False
        if (
            len(pieces) > 1
            and pieces[1][0] == ","
            and not pieces[1][1][:1].isdigit()
            and (age := _AGE.match(pieces[0][1]))
            and int(age["age"]) > _CHILD
        ):
            pieces.pop(0)
            yield Clause("", f"be {age['age']}")
            self._is_state, self._is_introduced = True, True

    def _clauses(self, joint: str, text: str) -> Iterator[Clause]:
        owned, self._owned = self._owned, None
        if owned and joint in (",", "-", "—", "–", "(", "…") and _GIVEN_NAME.match(text):
            self._who, self._head = owned, ""
            yield Clause(owned, f"named {text}")
            return
        if text[:2] in ("th", "Th", "my", "My") and (given := _CALLED_ME.match(text)):
            yield Clause("", f"be called {given['name']}")
            return
        named = _THEIR_NAME.match(text)
        if joint in ("who", "whose") or named or _THEY.match(text):
            yield from self._of_them(joint, text)
        elif match := _KIN_BIRTHDAY.match(text):
            yield self._clause(self._met(match["who"], None), "born " + text[match.end() :])
        elif match := _KIN_IS.match(text):
            who = self._met(
                (match["who"] or match["who2"]).removesuffix("s") if match["who"] else match["who2"],
                match["law"] or match["law2"],
            )
            if match["name2"]:
                yield Clause(who, f"named {match['name2']}")
            yield self._clause(who, ("named " if match["who"] else "be ") + text[match.end() :])
        elif match := _AUTHOR.match(text):
            verb = {"'m": "be", "'re": "be", "'ve": "have", "'s": "be", "'ll": "will"}.get(
                (match["verb"] or "").lower(), ""
            )
            yield self._clause("", f"{verb} {text[match.end() :]}".strip())
        elif (match := _KIN.match(text)) and _is_predicate(text[match.end() :]):
            who = self._met(match["who"], match["law"])
            if match["name"]:
                yield Clause(who, f"named {match['name']}")
            yield self._clause(who, text[match.end() :])
        elif (match := _KIN.match(text)) and match["name"] and match.end() < len(text.rstrip(" ,")):
            who = self._met(match["who"], match["law"])  # of what is told nothing is known but the name
            yield Clause(who, f"named {match['name']}")
            self._who, self._head, self._is_state = _NOBODY, "", False
        elif (match := _KIN.match(text)) and match.end() >= len(text.rstrip(" ,")):
            who = self._met(match["who"], match["law"])
            if match["name"]:
                yield Clause(who, f"named {match['name']}")
            self._who, self._head, self._is_state = who, "kin", True
        elif match := _BARE_KIN.match(text):
            rest = match["rest"].strip()
            yield self._clause(self._met(match["who"], None), re.sub(r"^'s\b", "be", rest))
        else:
            yield from self._without_subject(joint, text)

    def _coordinated(self, clause: Clause) -> Iterator[Clause]:
        """What stands beside the end of a clause: "be deaf and a bit short" is also "be a bit short"; kin that it names."""
        head, _, rest = clause.said.partition(" ")
        if head in ("be", "have", "own", "keep", "bought"):
            for found in _BESIDE.finditer(rest):
                if found["counted"] is not None if head != "be" else _is_beside(rest, found):
                    yield Clause(clause.who, f"{head} {rest[found.end() :]}")
        if head in ("be", "been", "divorced", "retired", "separated") and (living := _ALSO_LIVING.search(rest)):
            yield Clause(clause.who, f"be {rest[living.start(1) :]}")
        if match := _NAMED_THEM.match(clause.said):
            who = self._kin_of({"him": "he", "her": "she", "them": "they", "it": "it"}[match["whom"].lower()])
            if who is not None and not clause.who:
                yield Clause(who, f"named {match['name']}")
        if not clause.who and head in ("had", "have", "got", "welcomed") and _BABY.match(rest):
            self._kin.append("baby")
        if clause.who in _CHILDREN and clause.said.startswith(("was born", "born")):
            yield Clause("", f"have a {clause.who}")
        if clause.who and (met := _PET_NAMED.search(rest)):
            yield Clause(self._met(met["who"], None), f"named {met['name']}")
        if (
            not clause.who
            and head in ("have", "bought", "got", "adopted", "own", "rescued", "be", "picked", "keep")
            and (last := rest.rsplit(" ", 1)[-1].lower()) in _KIN_ONES
            and _COUNTED_KIN.search(rest)
        ):
            self._owned = self._met(last, None)
        if not clause.who and (met := _KIN_NAMED.search(rest)):
            who = self._met(met["who"], None)
            if met["name"]:
                yield Clause(who, f"named {met['name']}")
            if met["age"]:
                yield Clause(who, f"be {met['age']}")

    def _of_them(self, joint: str, text: str) -> Iterator[Clause]:
        """Of him, her or them: of kin that was named before, or of nobody known."""
        if named := _THEIR_NAME.match(text):
            who = self._kin_of(named["who"].lower())
            rest = "named " + text[named.end() :]
        elif joint in ("who", "whose"):
            who, rest = (self._kin[-1] if self._kin else _NOBODY), re.sub(r"^'s\b|^is\b", "be", text)
            if joint == "whose":
                rest = re.sub(r"^name is\b", "named", text)
        else:
            match = _THEY.match(text)
            assert match is not None, "the caller has matched it"
            who = self._kin_of(match["who"].lower())
            verb = {"'s": "be", "'re": "be", "'ve": "have", "'ll": "will"}.get((match["verb"] or "").lower(), "")
            rest = f"{verb} {text[match.end() :]}".strip()
        self._who, self._head = who, ""
        if who is not None:
            yield self._clause(who, rest)

    def _without_subject(self, joint: str, text: str) -> Iterator[Clause]:
        if _OF_MINE.match(text):
            self._who, self._head = "", "bare"
            if text.endswith(" here") or text.lower().startswith(("my name", "name's", "name is")):
                self._is_state = self._is_introduced = True
            yield Clause("", f"bare {text}")
            return
        if text[:8].lower() == "retired " and not _RETIRED.match(text):
            yield self._clause(self._who or "", f"be {text}")
            return
        is_said = _BARE_VERB.match(text) or _BARE_PARTICIPLE.match(text)
        if self._who is None or (_OTHERS.match(text) and not is_said) or _OF_DOING.match(text):
            self._who = _NOBODY
            return
        if self._who and self._head == "kin" and _GIVEN_NAME.match(text):
            yield Clause(self._who, f"named {text}")
        elif _NOW_AT.match(text):
            yield self._clause(self._who, text)
        elif _AGE.match(text) and self._who == "":
            if self._is_state:
                yield Clause("", f"be {text}")
        elif _BARE_VERB.match(text):
            is_third = _IN_THIRD.match(text) is not None
            if bool(self._who) != is_third and not _PAST_VERB.match(text):
                return
            is_base = not _PAST_VERB.match(text) and not is_third
            if self._is_first and _IMPERATIVES.match(text):
                if _DENIAL.match(text):
                    yield self._clause("", text)
                return
            goes_on = self._is_plain and joint != ","
            is_taste = self._head in _TASTE_VERBS and text.split()[0].lower() in _TASTE_VERBS
            if not self._is_first and not self._who and is_base and not (goes_on or is_taste):
                return
            yield self._clause(self._who, text)
        elif _BARE_PARTICIPLE.match(text) and not (_GERUNDS.match(text) and not self._is_first and self._head != "be"):
            if self._is_first or self._is_state or _PAST_PARTICIPLE.match(text):
                yield self._clause(self._who, f"be {text}")
        elif self._is_state and joint in (",", "and", "but", "&", "plus", "also") and not _GIVEN_NAME.match(text):
            if not self._who and (self._is_introduced or _COUNTED.match(text)):
                yield Clause("", f"bare {text}")
            yield self._clause(self._who, f"be {text}")
        elif self._is_first:
            self._is_state = _SELF_INTRODUCED.search(text) is not None
            self._head = "bare"
            yield Clause(self._who, f"bare {text}")
            if _OF_ANOTHER.search(text):  # "So glad you moved and became a nurse"
                self._who = _NOBODY

    def _clause(self, who: str, said: str) -> Clause:
        said = _predicate(said, is_third=bool(who), is_since=self._is_since)
        self._who, self._head = who, said.partition(" ")[0]
        self._is_state = self._head in ("be", "been", "named", "nowat") and not _IS_DOING.match(said)
        self._is_plain = _GOES_ON.search(said) is None
        return Clause(who, said)

    def _met(self, who: str, in_law: str | None) -> str:
        found = who.lower() + (" in law" if in_law else "")
        self._kin.append(found)
        return found

    def _kin_of(self, pronoun: str) -> str | None:
        """The kin that a pronoun stands for: the latest that may be meant."""
        for who in reversed(self._kin):
            plain = who.removesuffix(" in law")
            if pronoun in ("he", "his") and plain not in FEMALE_KIN:
                return who
            if pronoun in ("she", "her") and plain not in MALE_KIN:
                return who
            if pronoun in ("who", "that", "whose"):
                return who
            if pronoun in ("they", "their", "it", "its") and plain not in (MALE_KIN | FEMALE_KIN):
                return who
        return _NOBODY


def _is_beside(rest: str, found: re.Match[str]) -> bool:
    """Whether "and" joins two things that somebody is: "deaf and a bit short", not "3 and 8"."""
    beside = rest[found.end() :]
    return not (beside[:1].isdigit() or beside[:1].isupper() or _DOES_SO.match(beside)) and _is_short(
        rest[: found.start()]
    )


def _is_short(before: str) -> bool:
    """Whether what stands before "and" is no more than what somebody is."""
    words = before.split()
    return len(words) < _SHORT and "to" not in words


def _is_predicate(text: str) -> bool:
    return _PREDICATE.match(text) is not None


def _predicate(said: str, *, is_third: bool, is_since: bool) -> str:
    """Verb first, base forms, adverbs left out, and one way to say no."""
    said = _NOW_AT.sub("nowat ", said)
    said = _ADVERBS.sub(r"\1", said + " ").strip()
    first, _, rest = said.partition(" ")
    low = first.lower()
    if low in ("am", "is", "are"):
        low = "be"
    elif is_third and low in _THIRD:
        low = _THIRD[low]
    said = _ADVERBS.sub(r"\1", f"{low} {rest} ").strip()
    said = re.sub(r"^have (?:got\b(?! (?:married|engaged|divorced|to)\b)|got$)", "have", said)
    said = re.sub(r"^have been\b", "been", said)
    if is_since:  # "been in Berlin since 2017"
        said = re.sub(r"^been (?=in [A-Z])", "nowat ", said)
    if said.startswith("have "):
        done = said.split(" ", 2)[1]
        if done in _PERFECT or (done in _LASTING and is_since):
            said = said.replace(f"have {done}", _PERFECT.get(done) or _LASTING[done], 1)
    said = _HAVE_DONE.sub("", said)
    said = _DOES.sub("", said)
    said = re.sub(r"^(?:don't|never|have never|do not)\b", "not", said)
    said = re.sub(
        r"^(?:no longer|be nomore|have no longer)\b",
        lambda found: "nomore be" if found[0] == "be nomore" else "nomore",
        said,
    )
    said = re.sub(r"^be (?:not|no)\b", "not be", said)
    said = re.sub(r"^used to\b", "usedto", said)
    said = _ADVERBS.sub(r"\1", said + " ").strip()
    if match := _ANYMORE.match(said):
        return f"nomore {match['rest']}"
    return _NO_MORE.sub("", said)
