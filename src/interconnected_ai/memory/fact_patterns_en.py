"""What English clauses state: patterns over predicates, by their first word; how clauses are made is `fact_clauses_en`'."""

from collections.abc import Iterator

from interconnected_ai.memory.fact_clauses import Clause, Found, Rule, RulesByHead
from interconnected_ai.memory.fact_words import (
    ENGLISH_JOB_ENDINGS,
    ILLNESSES,
    KIN,
    LANGUAGES,
    NATIONALITIES,
    NO_JOBS,
    PROFESSIONS,
    RELIGIONS,
)

_MONTH = "(?:january|february|march|april|may|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
_DAY = "(?:(?:mon|tues|wednes|thurs|fri|satur|sun)days?)"
_FEW = "(?:an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|several|many|about|around|over|almost|nearly|\\d+)"
_TIMES = (
    rf"now|currently|meanwhile|in the meantime|these days|nowadays|at the moment|right now|at present|this (?:week|month|year|spring|summer|autumn|fall|winter|time|morning)|"
    rf"last (?:week|month|year|spring|summer|autumn|fall|winter|night|{_MONTH}|{_DAY})|yesterday|today|recently|lately|again|already|back in|"
    rf"anymore|any more|any longer|since|for (?:{_FEW}|years|months|ages|now|my|the (?:past|last)|health|life|good|free)\b|"
    rf"(?:{_FEW}|a few|a couple(?: of)?) (?:\w+ )?(?:days|weeks|months|years|year|week|month|times?)\b|(?:once|twice|\w+ times) (?:a|per)|every\b|on {_DAY}|on the|"
    rf"in my (?:spare|free)|in (?:the |early |late )?(?:mornings?|evenings?|spring|summer|autumn|fall|winter)|(?:at|on) (?:the )?weekends?|at (?:all|night|home)\b|as well|too\b|tbh|btw|lol|haha|though|actually|honestly|"
    rf"please|thanks|of course|by the way|more than|a lot|very much|so much|to bits|to death|with a passion|in (?:\d|{_MONTH}|general)|"
    rf"by (?:trade|training)|any day|all day|all the time|all my life|my whole life|most of the time|from time|when|if|because|especially|here|as an? (?:kid|child|teen\w*|boy|girl)|ever|so far|originally|either|and (?:am |i'm )?(?:looking|trying|wondering|need|want|hoping|feeling|struggling)"
)
_END = rf"(?=\s*(?:$|[.!?()\"]|\b(?:{_TIMES})\b))"
_VALUE = r"(?P<value>[^.!?()\"]{2,80}?)" + _END
_PLACE_END = (
    rf"(?=\s*(?:$|[.!?()\"]|\b(?:{_TIMES}|next|this|with|for|as|where|from|to|ago|alone|together|remotely|full[- ]time|part[- ]time|doing|"
    r"and counting|in the end|eventually|temporarily|permanently|about (?:an|\d)|by myself|on my own|mostly|mainly|until|after|before|and (?:i|the|it|it's|my|we|they|he|she|then|now|still|that|this|can't|never|there)|studying|just|fixing|on (?:a|my|nights|days)|"
    r"at the (?:moment|same))\b|\s\d))"
)
_PLACE = r"(?P<value>[^.!?()\"]{2,60}?)" + _PLACE_END
_A = r"(?:(?:an?|the|this|my|our|some) )?"
_NUMBER = (
    r"(?:(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?|"
    r"(?:thir|four|fif|six|seven|eigh|nine)teen)"
)
_SMALL = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"


def _words(text: str) -> str:
    return "|".join(sorted(dict.fromkeys(text.split()), key=len, reverse=True))


_LANGUAGE = rf"(?:{_words(LANGUAGES)}|sign language|british sign language|asl|bsl)"
_LANGUAGES = rf"(?P<value>{_LANGUAGE}(?:(?:, and |,? and |, | & |/)(?:also |some |a (?:little|bit of) |a bit of |passable |broken |basic |fluent |good )?{_LANGUAGE})*)\b"
_SKILL = r"(?:(?:both|some|a (?:little|bit)(?: bit)?(?: of)?|fluent|good|basic|broken|perfect|native|decent|conversational|passable|enough|my|how to speak|to speak) )*"
_JOB = (
    rf"(?:(?:(?!(?:and|or|but|a|an|the|is|in|at|for|with|who)\b)[\w'/&-]+ ){{0,4}}?(?:(?:{_words(PROFESSIONS)})|(?!(?:{_words(NO_JOBS)})\b)[\w-]{{2,}}(?:{ENGLISH_JOB_ENDINGS}))(?:s\b)?(?: (?:driver|manager|officer|assistant|developer|engineer|teacher|tester|worker|designer|nurse|instructor|coach|analyst))?"
    r"(?:-in-training)?|(?:ceo|cto|cfo|coo|vp|hr|pm|dev|qa|sre|dba)\b(?: \w+)?)"
)
_JOB_END = r"(?=\s*(?:$|[.!?()\"]|\b(?:at|for|in|by|and|from|with|who|working|specializing|specialising|on|since|of|here|now|too|living|based|over|near|these)\b))"
_ILLNESS = (
    rf"(?:(?:type (?:1|2|one|two)|severe|chronic|mild|terrible|awful|horrible|really bad|frequent|regular|occasional|bad|seasonal|social|clinical|bipolar|rheumatoid|high|low|an irregular|irregular|early|stage \d) )*"
    rf"(?:{ILLNESSES.replace(' ', '|')}|\w*(?:itis|osis|emia|aemia|algia|phobia|pathy)\b|high blood pressure|low blood pressure|(?:high )?cholesterol|hay fever|panic attacks|long covid|cold sores|nosebleeds|cluster headaches|tonsillitis|kidney stones|gallstones|flat feet|carpal tunnel|tennis elbow|an? hernia|bipolar(?: \d)?|"
    r"(?:[\w'-]+ )?(?:disease|syndrome|disorder|condition|intolerance|deficiency|palsy|murmur|sclerosis|dystrophy|stutter|problems|issues)(?<!no problems)(?<!some issues))"
)
_DIET = (
    r"(?P<value>vegans?|vegetarians?|veggie|pescatarian|pescetarian|plant[- ]based(?: diet)?|lactose[ -](?:intolerant|free)|gluten[ -](?:free|intolerant)|dairy[ -]free|"
    r"flexitarian|(?:the |a )?[\w-]+ diet|keto|low[- ]carb|teetotal|a teetotall?er|kosher|halal|sugar[ -]free|paleo)\b"
)
_FOOD = (
    r"(?:(?:red|raw|processed|cow's|white) )?(?:meat|dairy|sugar|alcohol|gluten|coffee|caffeine|bread|wine|beer|pork|beef|fish|seafood|eggs|milk|"
    r"cheese|sweets|chicken|soda|fast food|carbs|chocolate|nuts|wheat|shellfish|lactose|onions|garlic|mushrooms|tomatoes|salt|spicy food|tea|drinking|booze|anything with \w+)"
)
_COUNT = r"(?:an?|one|two|three|four|five|six|seven|eight|nine|ten|\d+|some|a few|a couple of|several|my own|our own)"
_THING_END = rf"(?=\s*(?:$|[.!?()\"]|,|\b(?:{_TIMES}|who|that|which|named|called|plus|and (?:i|we|my|they|he|she|it|an?|two|three|four|five|some)|with|because|to|from|for (?:work|my|our|the|{_FEW})|parked|where)\b))"
_THING = r"(?P<value>[^.!?()\",]{2,60}?)" + _THING_END
_BOUGHT = (
    r"(?P<value>(?:(?!(?:to|in|into|on|for|with|by|from|off|of|at|picked|hit|stuck|called|back|rid|out|up|over|and|some)\b)[\w'-]+ ){0,3}?(?:car|house|flat|apartment|condo|bungalow|dog|puppy|puppies|cat|kitten|kittens|cats|dogs|bike|bicycle|motorcycle|motorbike|boat|narrowboat|"
    r"guitar|piano|violin|cello|laptop|macbook|iphone|phone|camera|truck|van|caravan|campervan|farm|cottage|telescope|horse|rabbit|hamster|parrot|cabin|tesla|toyota|honda|"
    r"golf|fiesta|yaris|corsa|polo|focus|civic|corolla|prius|camry|qashqai|juke|niro|sportage|picanto|clio|megane|octavia|fabia|astra|tiguan|passat|outback|forester|kia|nissan|hyundai|renault|peugeot|skoda|vw|volkswagen|jeep|lexus|e-bike|"
    r"ford|bmw|audi|volvo|subaru|mazda|scooter|console|playstation|xbox|ps5|tv|tablet|ipad|pixel|greyhound|labrador|beagle|poodle|husky|corgi|bulldog|retriever|lab|vineyard|bookshop|business|"
    r"hatchback|saloon|suv|minivan|pickup|moped|minibus|tractor|convertible|thinkpad|chromebook|e-reader|kindle|drone|printer|watch|ring|yacht|land|allotment|garden|pony|goats|chickens|hens|bees|snake|lizard|gecko|turtle|tortoise|studio|kayak|skateboard|motorhome|rv)"
    r"(?: (?:by|in|near|on) [\w' -]{2,25}| [A-Z0-9][\w-]*(?: [A-Z0-9][\w-]*)*)?)(?![\w-])"
)
_PROPER = r"(?P<value>(?-i:[A-Z])[\w&'.-]*(?: (?:of |the |and )?(?-i:[A-Z\d])[\w&'.-]*){0,4})"
_NAME = r"(?P<value>(?!(?:and|but|a|an|the|not|so)\b)[^\W\d_][\w'-]*(?: (?-i:[A-Z])[\w'-]*){0,2})"
_KIN_ONE = rf"(?:{'|'.join(sorted(KIN, key=len, reverse=True))})"
_SUBJECT = _words(
    "law nursing medicine dentistry physics chemistry biology maths mathematics history english literature psychology philosophy economics engineering architecture "
    "accounting business finance sociology anthropology geography geology linguistics journalism art design music theology politics pharmacy marketing biochemistry "
    "neuroscience statistics education archaeology astronomy"
)
_PASTIME = _words(
    "golf tennis football soccer rugby cricket basketball hockey volleyball badminton squash swimming running cycling climbing bouldering chess piano guitar violin cello "
    "drums flute saxophone painting drawing knitting crochet sewing yoga pilates ballet dancing karate judo boxing skiing snowboarding surfing sailing fishing gaming poker "
    "photography pottery acting singing choir gardening hiking rowing fencing skating crossfit weightlifting archery birdwatching origami calligraphy woodworking"
)
_INSTRUMENT = _words(
    "organ tuba bass harp clarinet oboe trumpet trombone ukulele banjo accordion fiddle viola mandolin recorder bassoon cornet bagpipes harmonica sitar darts snooker pool bowls netball lacrosse padel "
    "pickleball bridge scrabble dominoes pétanque petanque five-a-side softball baseball handball futsal polo croquet dodgeball"
)
_STUDIED = r"(?P<value>(?!(?:the|this|that|these|those|your|my|our|it|its|all|each|to|at|in|on|for|hard|abroad|here|there|online|every|a lot|with|how|the effects)\b)[^.!?()\"]{2,50}?)(?=\s*(?:$|[.!?()\"]|\b(?:at|in|from|with|for|as|on|and|since|here|now|this|part|full|online|abroad|because|these|right|currently)\b))"
_PLANNED = (
    r"(?=(?:visit|travel|mov|buy|sell|start|learn|study|marry|get (?:married|engaged|divorced|a|into)|propose|retir|renovate|paint|adopt|build|open|launch|apply|fly|spend|climb|attend|join|host|"
    r"quit|leav|switch|become|publish|teach|celebrate|run|take part|go (?:to|back|on)|have a (?:baby|kid|child)|relocat|emigrat|return|enrol|hik|cycl|driv|walk|settl|start)\w*\b)"
)
_NO_ASK = r"(?!(?:start (?:calling|using|doing|to|by|with)|switch (?:insurance|to)|runn?\w* (?:late|out|away|some|an? (?:test|bath))|spend (?:more|less)|go (?:to (?:bed|sleep|the (?:shop|bathroom|toilet|loo))|back to (?:bed|sleep))|say|be honest|ask|need|assume|use|read|do|try|write|test|fix|check|see|look|see if|hear|get back)\b)"

RULES: tuple[Rule, ...] = (
    # homes
    Rule("lives in", "live reside stay", rf"(?:just |right |somewhere )?(?:(?:at|in|near|outside|outside of|close to|on|by) )(?:the (?:city|town|village) of )?{_PLACE}"),
    Rule("lives in", "live", r"(?:up|down|off|round|above|behind|opposite|next to|across from|over|along|beside|between) [\w' -]{2,30}? in (?P<value>(?-i:[A-Z])[\w'-]+(?: (?-i:[A-Z])[\w'-]+)*)"),
    Rule("lives in", "live reside", rf"with (?:my|our) [\w' -]+? (?:in|near|outside|on) {_PLACE}"),
    Rule("lives in", "live reside", rf"(?:(?:alone|together|full[- ]time|part[- ]time|back|here|out|down|up|over|on (?:my|his|her|their|our) own|by (?:my|him|her)self) )+(?:in|near|outside|on) {_PLACE}"),
    Rule("lives in", "be been", rf"(?:living|residing|based|located|settled|staying(?!.*\b(?:this|tonight|until|till|while|week|weekend|days?|nights?|hotel|hostel|airbnb)\b)) (?:[\w-]+ )?(?:in|at|near|outside|outside of|close to|on|out of) {_PLACE}"),
    Rule("lives in", "be been", rf"(?:living|staying) (?:with|alone)\b[\w' -]*? in {_PLACE}"),
    Rule("lives in", "bare", rf"(?:based|located|living) (?:in|out of|near) {_PLACE}"),
    Rule("lives in", "be been", rf"renting (?:(?!car\b|van\b|boat\b)[\w-]+ ){{0,4}}?(?:in|near|outside) {_PLACE}"),
    Rule("lives in", "moved relocated resettled emigrated immigrated", rf"(?:back |over |out |up |down |across |abroad |house |permanently |in |away |all the way )*(?:with (?:my|our) [\w -]+? )?(?:from [^.,;!?\n]{{2,40}}? )?(?:in)?to (?!(?:look|be|live|work|study|help|get|start|find|take|escape|save|care|see|have|do|make|try|learn|keep|give|go)\b|another\b|a new\b|the next\b|chapter\b|step\b){_PLACE}"),
    Rule("lives in", "be nowat", rf"at (?:my|our) (?!.*\bfor (?:the|a) (?:weekend|week|few|night|day|couple)\b)[\w' -]+? (?:in|near|outside) {_PLACE}"),
    Rule("lives in", "spent", r"(?:my (?:whole|entire|early|adult) life|all my life|(?:\w+ )+years) in (?P<value>(?-i:[A-Z])[\w' -]+?)(?= (?:before|until|till|previously)\b)", ends="value"),
    Rule("lives in", "be", r"in (?P<value>(?-i:[A-Z])\w+(?: (?-i:[A-Z])\w+)?)$", only="kin", check="left place"),
    Rule("lives in", "be", rf"(?:now )?in (?:an?|the|his|her|their) (?:care |nursing |retirement |old people's |residential )?(?:home|hospice|bungalow|flat) (?:in|near|outside) {_PLACE}", only="kin", needs="home|hospice|bungalow|flat"),
    Rule("lives in", "moved", rf"back (?:in )?with my \w+ in {_PLACE}"),
    Rule("lives in", "moved", rf"in (?:together |with my \w+ )in {_PLACE}"),
    Rule("lives in", "settled", rf"(?:down )?in {_PLACE}"),
    Rule("lives in", "left", r"(?:(?-i:[A-Z])[\w-]+(?: (?-i:[A-Z])\w+)?) for (?P<value>(?-i:[A-Z])[\w-]+(?: (?-i:[A-Z])\w+)?)"),
    Rule("lives in", "call called", r"(?P<value>(?-i:[A-ZÀ-Ý])[\w'-]+(?: (?-i:[A-ZÀ-Ý])[\w'-]+){0,2}) (?:my |our )?home\b"),
    Rule("lives in", "rent have own share", rf"an? (?:[\w-]+ ){{0,3}}?(?:flat|apartment|room|house|studio|place|condo|bed|bedroom|bedsit|semi|terrace|bungalow|flatshare|houseshare|maisonette|loft) in {_PLACE}"),
    Rule("lives in", "commute", r"(?:to work )?from (?P<value>[\w' -]+?)(?= (?:to|into|every)\b|$)"),
    Rule("lives in", "moved relocated emigrated", r"(?:away |out |back )*from (?P<value>[^.,;!?\n]{2,40}?)(?= to\b|$| (?:last|and|in|this|two|after|for|when|because|with)\b)", ends="value"),
    Rule("lives in", "moved", rf"(?:away from|out of) {_PLACE}", ends="value"),
    Rule("lives in", "moved relocated", rf"(?:back |over )*to [^.,;!?\n]{{2,40}}? from {_PLACE}", ends="value"),
    Rule("lives in", "left", rf"(?P<value>(?-i:[A-Z])[\w-]+(?: (?-i:[A-Z])\w+)?)(?=$| (?:for (?-i:[A-Z])|for good\b|behind\b|(?:back )?in (?:\d|{_MONTH}|spring|summer|autumn|winter)|(?:\w+ )?years ago|last))", ends="value", check="left place"),
    Rule("lives in", "bare", r"home(?:'s| is) (?:now |currently )?(?P<value>(?-i:[A-ZÀ-Ý])[\w'-]+(?: (?-i:[A-ZÀ-Ý])[\w'-]+){0,2})(?=$|[.,!?]| (?:now|these|for|and|but|at)\b)"),
    Rule("lives in", "nomore usedto", r"(?:live|rent|stay|have a (?:flat|place|room)) [\w' -]{2,30}? (?:in|near) (?P<value>(?-i:[A-ZÀ-Ý])[\w'-]+(?: (?-i:[A-Z])[\w'-]+)*)", ends="value"),
    Rule("lives in", "nomore usedto", rf"(?:be )?(?:live|living|based|staying|reside) (?:in|at|near|on|with) (?:my )?{_PLACE}", ends="value"),
    Rule("lives in", "nomore", r"(?:be )?in (?P<value>(?-i:[A-Z])[\w' -]+)", ends="value"),
    Rule("comes from", "be been come came hail was", rf"(?:originally |adopted )?from (?:a (?=[\w ]+ (?:village|town|city)))?{_PLACE}"),
    Rule("comes from", "be been was bare", rf"(?:born|raised|born and raised|born and bred|brought up|adopted|bred) (?:in|from|near|on) (?!{_DAY}|the (?:year|month)|{_MONTH}|'?\d)(?:(?:a |the )(?=\w+ (?:village|town)))?{_PLACE}"),
    Rule("comes from", "be bare", rf"(?:an? |the )?(?:(?!(?:and|but|or|in|at|for)\b)[\w'-]+ ){{0,2}}?{_JOB} (?:originally )?from (?P<value>(?-i:[A-Z])[\w'-]+(?: (?-i:[A-Z])[\w'-]+)*)(?=$|[.,!?]| (?:and|who|with|but|now|living)\b)", only="author", needs=" from "),
    Rule("comes from", "moved came", rf"(?:here|over here|over) (?:to \w+ )?from {_PLACE}"),
    Rule("comes from", "grew", rf"up (?:in|near|on|outside) {_PLACE}"),
    Rule("comes from", "bare", rf"(?:originally )?from (?!now|then|today|what|time|there|here){_PLACE}"),
    Rule("lives in", "nowat", r"(?:(?:up|down|over|out|back) )?in (?P<value>(?-i:[A-Z])[\w' -]+?)(?=$|[.,!?]| (?:with|and|for|after|now|these|currently|at|nowadays)\b)"),
    Rule("lives in", "been", rf"(?:(?:up|down|over|out|back|here) )?in (?P<value>(?-i:[A-Z])[\w'-]+(?: (?-i:[A-Z])[\w'-]+)*)(?= (?:since(?! (?:{_DAY}|yesterday|this|last (?:week|night|{_DAY}))\b)|for|now|about|nearly|almost|over|{_FEW} (?:years|months))\b)"),
    Rule("works at", "nowat", rf"(?:at|with) {_A}(?!{_KIN_ONE}|parents|in-laws|home|the moment|school|uni|university|work){_PLACE}", check="not visited"),
    Rule("works at", "be been", r"in (?:the )?(?P<value>sales|marketing|finance|it|hr|tech|real estate|insurance|healthcare|education|construction|retail|hospitality|logistics|advertising|publishing|banking|law enforcement|the army|army|navy|military|air force|police|fashion|pharma|pr|consulting)(?=$|[.,!?]| (?:and|at|for)\b)"),
    Rule("nationality", "bare", rf"(?:half|quarter|part|proud|proudly) (?P<value>{_words(NATIONALITIES)})(?=$| (?:and|but|by|here)\b)"),
    Rule("nationality", "bare", rf"(?P<value>{_words(NATIONALITIES)}) (?:here|guy|girl|woman|man|lass|lad)(?=$|[.,!?]| )"),
    Rule("nationality", "be", rf"(?:half |originally |an? )?(?P<value>{_words(NATIONALITIES)})(?=$| (?:and|by|but|living|born|on (?:paper|my)|now)\b)"),
    Rule("nationality", "be became become", rf"(?:now )?an? (?P<value>{_words(NATIONALITIES)}) (?:citizen|national|passport holder)\b", needs="citizen|national|passport"),
    Rule("nationality", "have hold", rf"(?:an? |my )(?P<value>{_words(NATIONALITIES)}) (?:passport|citizenship)\b", needs="passport|citizenship"),
    # work
    Rule("works as", "work freelance serve volunteer", rf"(?:(?!as\b)[\w-]+ ){{0,7}}?as (?!(?:usual|well|before|always|of|soon|long|hard|if|such|expected|intended|a team|much|fast|my|our|your|his|her|their|the same|anyone|everyone)\b){_A}{_PLACE}"),
    Rule("works as", "be been", rf"(?:working|employed|freelancing|volunteering)(?: [\w-]+){{0,6}}? as (?!usual|well|before|always|of|soon|long|hard|if|such|expected){_A}{_PLACE}"),
    Rule("works as", "be been bare", rf"(?:an? |the |now an? )?(?:\d+[- ]years?[- ]old )?(?P<value>{_JOB}){_JOB_END}(?! (?:here,)?at heart)", check="job"),
    Rule("works as", "bare", rf"(?P<value>{_JOB}) here$", check="job", needs="here"),
    Rule("works as", "bare", rf"as an? (?P<value>{_JOB})(?=$|,| (?:i|we|my)\b)", check="job"),
    Rule("works as", "be been", r"(?P<value>retired|unemployed|jobless|self[- ]employed|between jobs|out of work|a stay[- ]at[- ]home (?:mom|mum|dad|parent|mother|father))(?=$| (?:now|since|at|and|from|these|right|of|with)\b)"),
    Rule("works as", "bare", r"(?P<value>retired|unemployed|self[- ]employed)$"),
    Rule("works as", "was", rf"an? (?P<value>{_JOB})(?= (?:at|for|until|till|before|back then|all my life|years ago)\b)", ends="value", check="job"),
    Rule("works at", "was", rf"an? (?:[\w'-]+ ){{0,3}}{_JOB} (?:at|for) {_A}(?!{_FEW} |years|many|life){_PLACE}", ends="value", check="job at"),
    Rule("works as", "took", r"(?P<value>early retirement)"),
    Rule("works as", "will be", rf"(?:be |going to be |gonna be )(?:an? |the )(?P<value>{_JOB}){_JOB_END}", check="job"),
    Rule("works at", "will be", rf"(?:be |going to be |gonna be )(?:an? |the )(?:[\w'-]+ ){{0,3}}{_JOB} (?:at|for) {_A}{_PLACE}", check="job at"),
    Rule("works at", "went", rf"back (?:to work )?(?:to|at|for|with) {_PROPER}(?![\w&'.-])(?! to\b)", check="back at"),
    Rule("works as", "became become got was", rf"(?:hired as |promoted to |made |appointed )?(?:an? |the )?(?P<value>(?:head of [\w -]+|{_JOB})){_JOB_END}", check="job now"),
    Rule("works as", "trained retrained", rf"as an? (?P<value>{_JOB}){_JOB_END}", check="job"),
    Rule("works as", "qualified", rf"(?:as )?an? (?P<value>{_JOB})\b"),
    Rule("works as", "got was been", rf"(?:just |recently )?promoted to {_A}{_PLACE}"),
    Rule("works as", "promoted hired be been", rf"(?:promoted |hired )(?:to|as|by [\w' -]+? as|at [\w' -]+? as) {_A}{_PLACE}"),
    Rule("works as", "got was hired", rf"(?:hired )?(?:by|at) [\w' -]+? as {_A}{_PLACE}"),
    Rule("works as", "start started starting", rf"as {_A}(?P<value>[\w' -]+?)(?=$|[.,!?]| (?:at|with|for|in|on|next|tomorrow)\b)"),
    Rule("works at", "start started starting", rf"as [\w' -]+? (?:at|with|for|in) {_A}{_PLACE}"),
    Rule("works as", "earn make earned", rf"(?:my|a) living (?:as|by) {_A}{_PLACE}"),
    Rule("works as", "do", rf"[\w ]*?(?:shifts|work|job) as {_A}{_PLACE}"),
    Rule("works as", "be been", r"(?:the |an? )?(?P<value>(?:head|director|chief|vp|manager|captain|dean|secretary|president) of (?!the class\b|my own\b|this\b|that\b)[\w ]+?)(?=$|[.,!?]| (?:at|for|in|and|here|now)\b)"),
    Rule("works at", "be been", rf"(?:the |an? )?(?:head|director|chief|vp|manager|captain|dean|secretary|president) of [\w ]+? (?:at|for) {_A}{_PLACE}"),
    Rule("works as", "be", rf"(?:starting over|retraining|moonlighting|freelancing|making a living|temping) as {_A}{_PLACE}"),
    Rule("works as", "be", rf"doing an apprenticeship as {_A}{_PLACE}"),
    Rule("works as", "be", r"(?:doing|on|in) an (?P<value>apprenticeship)(?=$|[.,!?]| (?:with|at|in|now|and)\b)"),
    Rule("works at", "be", rf"(?:doing|on|in) an (?:apprenticeship|internship|traineeship|placement) (?:with|at) {_A}{_PLACE}"),
    Rule("works as", "freelance", r"(?P<value>)(?=$|[.,!?]| (?:now|these|mostly|from|for)\b)", fixed="head"),
    Rule("works as", "retired", r"(?:early )?(?P<value>)(?=$|[.,!?]| ?(?:in \d|last|this|two|a few|from|at)\b)", fixed="head", only="author"),
    Rule("works as", "be", r"an? (?P<value>[\w -]+?) by (?:trade|profession|training)(?!\W*but i)$"),
    Rule("works at", "work serve", rf"(?:[\w-]+ (?=(?:at|for|in) )|(?:full[- ]time|part[- ]time|nights|days|the \w+ shift|from home|remotely|now|back|freelance|night shifts?) )*(?:at|for|in|on the) {_A}(?!myself\b|free\b|it\b|them\b){_PLACE}"),
    Rule("works at", "work", rf"as (?:(?!on\b|somewhere\b)[\w'-]+ ){{1,6}}?(?:at|for|in) {_A}{_PLACE}"),
    Rule("works at", "be been", rf"(?:working|employed|volunteering) (?:[\w-]+ ){{0,2}}?(?:at|for|in|by) {_A}(?!myself\b|free\b|it\b|them\b){_PLACE}"),
    Rule("works at", "be been", rf"(?:teaching|lecturing|tutoring|nursing|volunteering) (?:[\w-]+ ){{0,4}}?(?:at|in) {_A}(?!{_MONTH}|the evenings?|my){_PLACE}"),
    Rule("works at", "be been work", r"(?:working )?on (?:an? |the )(?P<value>(?:[\w-]+ )?(?:ship|rig|farm|building site|ferry|yacht|railways?|trains|ward|buses|boats|oil rigs?|campsite))(?=$|[.,!?]| (?:in|till|until|and|off|near|as|for|now)\b)"),
    Rule("works at", "drive deliver", rf"(?:(?:food|parcels|pizzas|groceries|post|newspapers) )?for {_PROPER}", needs="for "),
    Rule("works at", "wait tend", rf"(?:tables|bar|the bar) (?:at|in) {_A}{_PLACE}"),
    Rule("works at", "manage run head", rf"(?:up )?(?:the )?(?:[a-z]+ )?(?:section|department|marketing|sales|kitchen|bar|finance|hr|accounts|reception|warehouse|branch) (?:at|for) {_A}{_PLACE}", needs=" at | for "),
    Rule("works at", "write sell clean cook code design", r"(?:[a-z]+ )?for (?:an?|the) (?P<value>(?:[\w-]+ )??(?:bank|paper|newspaper|magazine|website|agency|charity|museum|university|school|hospital|hotel|restaurant|firm|company|startup|studio|publisher|council))(?=$|[.,!?]| (?:in|and|that|which|near)\b)", needs=" for |for "),
    Rule("works as", "fix repair build sell write design teach drive clean paint make train groom cook cut translate restore install mend sew deliver", r"(?P<value>[a-z][\w' -]{2,25}?) for a living\b", check="doing", needs="living"),
    Rule("works as", "drive", r"(?P<value>trains|trams|buses|lorries|trucks|taxis|cabs|an? (?:taxi|cab|bus|tram|train|ambulance|minicab))(?=$|[.,!?]| (?:in|and|for|at|since|so|on)\b)", check="doing"),
    Rule("works at", "bare", rf"(?:\w+|\d+) years (?:at|with) {_PROPER}", check="no town left", needs="years "),
    Rule("works at", "bare", r"my (?:new |current |day )?(?:job|shifts?|boss|manager|colleagues|coworkers|desk) (?:at|with) (?:an? |the |my )?(?P<value>[\w&' -]{2,30}?)(?= (?:is|are|was|has|have|starts?|ends?|means|pays|keeps?|wants?|says?|thinks?|let|don't|doesn't|got)\b)", needs=" at | with "),
    Rule("works at", "bare", rf"my (?:new |current |day )?job(?:'s| is) (?:at|with) {_A}{_PLACE}", needs="job"),
    Rule("works at", "be", rf"on (?:the )?(?:tills?|checkouts?|front desk|reception|fish counter|deli counter) (?:at|in) {_A}{_PLACE}", needs="till|checkout|desk|reception|counter"),
    Rule("works at", "be been", rf"(?:stacking shelves|cooking|cleaning|waiting tables|bartending|waitressing|serving|packing|temping|driving|selling \\w+|answering phones|doing security|doing reception) (?:at|for) {_A}(?!{_FEW} |years|home|work|fun|hours|ages|my){_PLACE}", needs="ing at |s at |s for |ing for |security |reception |phones |shelves "),
    Rule("works at", "be", rf"working as [\w' -]+? (?:at|for|in) {_A}{_PLACE}"),
    Rule("works at", "be been bare", rf"(?:an? |the )?(?:(?!(?:and|but|or|in|at|for)\b)[\w'-]+ ){{0,3}}{_JOB} (?:here )?(?:at|for) {_A}(?!{_FEW} |years|many|now|life){_PLACE}", check="job at", needs=" at | for "),
    Rule("works at", "joined", _PROPER),
    Rule("works at", "started start starting", rf"(?:(?:working|work|a (?:new )?job|my (?:new )?job) (?:at|for|with)|at) {_A}{_PLACE}", check="started"),
    Rule("works at", "got found landed have started accepted was be", rf"(?:an? |the |my )?(?:new |dream |part-time |full-time |summer )*(?:job|position|role|internship|gig|hired|offer) (?:at|with|by|from) {_A}{_PLACE}"),
    Rule("works at", "got found landed have started accepted", rf"(?:a |the |my )?(?:new |dream |part-time |full-time |summer )*(?:job|position|role|gig|internship) as [\w' -]+? (?:at|with|for) {_A}{_PLACE}"),
    Rule("works as", "got found landed have started accepted", rf"(?:a |the |my )?(?:new |dream |part-time |full-time |summer )*(?:job|position|role|gig) as {_A}(?P<value>[\w' -]+?)(?=$|[.,!?]| (?:at|with|for|in)\b)"),
    Rule("works at", "got found landed have", rf"a (?:new )?job in {_A}{_PLACE}"),
    Rule("works at", "love like enjoy hate dislike adore detest", rf"my (?:new )?job (?:at|with|in) {_A}{_PLACE}"),
    Rule("works at", "teach volunteer intern lecture", rf"(?:[\w ]+? )??(?:at|in) {_A}(?!the evenings?|the mornings?|my){_PLACE}"),
    Rule("works at", "switched", rf"jobs? from [^.,;!?\n]{{2,40}}? to {_PROPER}"),
    Rule("works at", "switched left", rf"(?:jobs? from )?(?P<value>(?-i:[A-Z])[\w&-]+)(?= (?:to|in (?:{_MONTH}|\d)|for (?-i:[A-Z])))", ends="value", check="left employer"),
    Rule("works at", "left", r"(?-i:[A-Z])[\w&'.-]* for (?:an? |the )(?P<value>(?:[\w-]+ )?(?:startup|start-up|competitor|rival|agency|firm|charity|bank|school|hospital|nonprofit|ngo|studio|fintech|consultancy))(?=$|[.,!?]| (?:in|and|last|this)\b)"),
    Rule("works at", "handed gave", rf"(?:in )?(?:my|the) notice (?:at|to) {_PROPER}", ends="value"),
    Rule("works at", "quit left lost resigned", rf"(?:from )?(?:my|the|his|her|their)?\s?(?:[\w-]+ )?(?:job|position|post|role) (?:at|with|in|for) {_A}{_PLACE}", ends="value"),
    Rule("works at", "quit resigned retired", rf"(?:from )?{_A}{_PROPER}", ends="value", check="company"),
    Rule("works at", "left", rf"{_A}{_PROPER}", ends="value", check="left employer"),
    Rule("works at", "retired resigned", rf"from (?:the )?(?!work\b|teaching\b|my\b|my job\b){_PLACE}", ends="value"),
    Rule("works at", "got was be been", rf"(?:fired|laid off|let go|sacked|made redundant)(?: last \w+| yesterday| today| recently)? (?:from|by|at) {_A}{_PLACE}", ends="value"),
    Rule("works at", "nomore usedto", rf"(?:be )?(?:work|working|employed|teach) (?:at|for|in) {_A}{_PLACE}", ends="value"),
    Rule("works at", "drive operate", rf"(?:an? |the )(?:[\w-]+ )?(?:forklift|bus|truck|lorry|van|taxi|cab|tram|train|crane|digger|ambulance|tractor|minibus) (?:at|for) {_A}(?!{_FEW} |years|work|living|fun){_PLACE}"),
    Rule("works at", "work", rf"(?:on |behind |in )?the (?:[\w-]+ )?(?:counter|desk|bar|tills?|checkout|floor|door|line|kitchen|reception|phones|graveyard) (?:at|in|of|for) {_A}{_PLACE}"),
    Rule("works at", "do", rf"(?:the |all the )?(?:admin|accounts|books|bookkeeping|payroll|marketing|it|reception|cleaning|security|hr|pr|maintenance|data entry|customer service|tech support|catering|logistics)(?: work| support)? (?:for|at) {_A}(?!myself\b|free\b|it\b|them\b|him\b|her\b){_PLACE}"),
    Rule("works at", "be", rf"in my (?:last|first|second|final) (?:day|week|month)s? (?:at|with) {_PROPER}"),
    Rule("works at", "nomore", r"be (?:with|at) (?P<value>(?-i:[A-Z])[\w&'.-]*)(?=$|[.,!?])", ends="value", check="known employer"),
    Rule("works at", "usedto", rf"(?:wait tables|tend bar|bartend|waitress|cook|clean|drive|intern|nurse|lecture|volunteer|manage [\w ]+?|run [\w ]+?|sell [\w ]+?|stack shelves|do [\w ]+?) (?:at|for) {_A}{_PROPER}", ends="value"),
    Rule("works at", "was", rf"working (?:at|for|in) {_A}(?P<value>[\w'& -]+?)(?= (?:until|till|before)\b|$)", ends="value"),
    Rule("works at", "left", r"(?P<value>(?-i:[A-Z])[\w&'.-]*)(?= for an? (?:[\w-]+ )?(?:startup|start-up|competitor|rival|job|role|agency|company|firm|charity|bank|school|hospital)\b)", ends="value"),
    Rule("works at", "took", r"(?:voluntary )?(?P<value>redundancy)\b", ends="relation"),
    Rule("works at", "be been", rf"doing (?:nights|days|shifts|night shifts|day shifts|lates|earlies) (?:at|in) {_A}{_PLACE}"),
    Rule("works at", "manage", r"(?:an?|the) (?P<value>(?:[\w-]+ )?(?:bar|pub|shop|store|hotel|restaurant|caf[eé]|gym|warehouse|branch|bookshop)(?: in (?-i:[A-Z])[\w-]+)?)(?=$|[.,!?]| (?:and|with|for)\b)"),
    Rule("works at", "handed gave", r"(?:in )?(?:my|our) (?P<value>notice)(?: in)?(?=$|[.,!?]| (?:yesterday|today|last|on|this|at the weekend)\b)", ends="relation"),
    Rule("works at", "quit lost left gave", r"(?:up )?(?:my|the) (?P<value>(?:old |current |day |previous )?job)(?! (?:at|with|in|for|as)\b)(?=$|[.,!?;]| )", ends="relation"),
    Rule("works at", "got was be been", r"(?P<value>fired|laid off|sacked|made redundant)(?=$|[.,!?;]| (?:last|this|in|yesterday|and|today|the (?:day|week|month|year|same)|when|after|two|three|a (?:week|month|year)|because|just|on)\b)", ends="relation"),
    Rule("works at", "quit left resigned", r"(?:from )?(?:the )?(?P<value>police(?: force)?|army|navy|air force|force|civil service|nhs|fire service|fire brigade|military|marines|church|priesthood|coastguard|post office)(?=$|[.,!?;]| (?:after|in|last|for|to|and|because|when|two|this|years|early)\b)", ends="value"),
    Rule("works at", "resigned retired", r"(?P<value>)(?=$|[.,!?;]| ?(?:last|this|in|yesterday|and|two|a)\b)", ends="relation", fixed="retired"),
    Rule("works as", "quit left", r"(?:my|the) (?P<value>[\w -]+?) job(?! (?:at|with|in|for|as)\b)", ends="value", check="not old"),
    Rule("works as", "gave quit left stopped", r"(?:up )?(?P<value>teaching|nursing|acting|farming|accountancy|accounting|lecturing|modelling|policing|freelancing|bartending|journalism|consulting|plumbing|hairdressing)(?=$|[.,!?]| (?:to|for|after|last|in|and|because|two|when|this|at)\b)", ends="value"),
    Rule("works at", "quit", r"the (?P<value>(?:city |town )?(?:council|bank|factory|hospital|university|bar|company|firm|agency|restaurant|library|museum|orchestra|bakery|shop|school|paper|studio))(?=$|[.,!?]| (?:and|to|last|in|after|because|when|for|this)\b)", ends="value"),
    Rule("works as", "quit left", rf"(?:my|the) job as {_A}{_PLACE}", ends="value"),
    Rule("works as", "nomore usedto", rf"(?:be|work as) {_A}(?P<value>(?:student|(?:[\w-]+ ){{0,2}}{_JOB}))\b", ends="value", check="job"),
    # ages and dates
    Rule("age", "be", r"(?P<value>\d{1,2}(?:, \d{1,2})*,? and \d{1,2})(?=$|[.,!?]| (?:so|now|years)\b)", only="kin", needs="and "),
    Rule("age", "be", r"in (?:my|his|her|their) (?P<value>(?:(?:early|mid|late)[- ])?(?:twenties|thirties|forties|fifties|sixties|seventies|eighties|nineties|[2-9]0s))\b", needs="ties|0s"),
    Rule("age", "be bare", rf"(?:only |just |about |around |almost )?(?P<value>[1-9]\d|1[01]\d|{_NUMBER})(?: years? (?:old|young|of age)| ?y\.?o\.?\b| yrs old|(?=\s*(?:$|[,;!/]|\.(?!\d)| ?[fm]$| (?:and|now|last|this|in|today|yesterday|but|going)\b)))(?! (?:cm|kg|minutes|percent))"),
    Rule("age", "be", rf"(?P<value>\d{{1,2}}|{_SMALL})(?: years? old| months old| and a half|(?=$|,| (?:and|now|in)\b))", only="kin"),
    Rule("age", "be", rf"turning (?P<value>\d{{1,3}}|{_NUMBER})\b"),
    Rule("age", "turned turn turning", rf"(?P<value>\d{{1,3}}|{_NUMBER}|{_SMALL})(?=$|[.,!?;]| (?:on|last|this|in (?:{_MONTH}|an?|two|three)|today|tomorrow|soon|later|yesterday|and|years|next)\b)"),
    Rule("age", "be", r"an? (?P<value>\d{1,3})[- ]?(?:years?|yrs?|y)[-/ ]?o(?:ld)?\b"),
    Rule("birthday", "born", rf"(?:on |in )?(?P<value>(?:the )?(?:\w+ of )?{_MONTH}\b[^.!?]{{0,14}}|(?:the )?\d[^.!?]{{0,18}})"),
    Rule("birthday", "be was bare", rf"born (?:on |in )?(?:the )?(?P<value>(?:\w+ of )?{_MONTH}\b[^.!?()\"]{{0,14}}?|\d{{1,2}}[^.!?()\"]{{0,18}}?|\d{{4}})(?=$|\W*$| (?:in (?-i:[A-Z])\w*|and|so)\b)"),
    # names
    Rule("name", "be", r"called (?P<value>(?-i:[A-Z])[\w'-]+(?: (?-i:[A-Z])[\w'-]+)*|[a-z]{3,}$)", only="author"),
    Rule("name", "be", r"(?P<value>(?-i:[A-ZÀ-Ý][a-zà-ÿ]{2,}))(?=$| to (?:everyone|everybody|most|my friends|friends|you)\b)", only="author", check="given name"),
    Rule("name", "be", r"(?P<value>[a-z]{3,})$", only="author", check="common name"),
    Rule("name", "go", rf"by (?!train|bus|car|foot|bike|the\b){_NAME}", only="author"),
    Rule("is called", "named", r"(?:is )?(?P<value>[^\W\d_][\w'.-]*(?: (?-i:[A-Z])[\w'-]*){0,2})", only="kin"),
    Rule("is called", "be", r"(?:[\w -]{2,30}? )?(?:called|named) (?P<value>[^\W\d_][\w'.-]*(?: (?-i:[A-Z])[\w'-]*){0,2})", only="kin", needs="called|named"),
    # people
    Rule("relationship", "be been", r"(?:happily |recently |newly |officially |still |back )?(?P<value>married|engaged(?! in\b)|single|divorced|widowed|separated|an? widow(?:er)?|dating (?:(?:a \w+|someone|somebody) (?:named|called) )?(?-i:[A-Z])\w+|seeing (?-i:[A-Z])[a-z]+(?=$| (?:for|since)\b)|dating an? [a-z]+(?=$)|seeing (?:someone|somebody|an? (?:guy|girl|man|woman|bloke|lad|lass)) (?:named|called) (?-i:[A-Z])\w+)(?! to (?:my|the) (?:job|work|game))(?=\s*(?:$|[.!,;]|\b(?:to|with|and|for|now|since|again|from|in|over|almost|\d+|these|last|twice|two|three|ten|twenty|thirty)\b))", only="author"),
    Rule("relationship", "have", r"an? (?:(?:new|long-term|steady|serious) )?(?P<value>boyfriend|girlfriend|fiancée?)(?=$|[.,!?]| (?:and|now|of|who|in|from|called)\b)", only="author", needs="friend|fianc"),
    Rule("relationship", "not", r"(?:be )?married(?P<value>)(?=$|[.!,;]| (?:and|but|yet)\b)", fixed="not married", only="author"),
    Rule("relationship", "broke", r"up(?P<value>)(?=$|[.!?]| (?:in|last|this|two|a|over|on)\b)(?! with)", fixed="broke up", only="author"),
    Rule("relationship", "split", r"up(?P<value>)(?=$|[.!?]| (?:in|last|this|two|a|over|on)\b)(?! with)", fixed="split up", only="author"),
    Rule("relationship", "split broke", r"up, (?:me|myself) and (?P<value>(?-i:[A-Z])\w+)$", ends="relation", only="author"),
    Rule("relationship", "tied", r"the knot(?P<value>)", fixed="tied the knot", only="author"),
    Rule("relationship", "be been", r"in an? (?P<value>(?:(?:long[- ]distance|happy|serious|open|committed|stable|new) )?relationship)\b", only="author"),
    Rule("relationship", "got get", r"(?P<value>married|engaged(?! (?:in|with)\b)|divorced)\b(?! from\b)", only="author"),
    Rule("has", "married divorced be", r"(?:(?:married|divorced|single|separated|widowed),? )?with (?P<value>(?:an?|one|two|three|four|five|\d) (?:\w+ )?(?:kids?|children|boys?|girls?|sons?|daughters?|cats?|dogs?))(?=$|[.,!?]| (?:and|under|at|who|from)\b)", only="author"),
    Rule("relationship", "separated divorced married", r"(?P<value>)(?=$|[.,!?;]| ?(?:with (?:an?|one|two|three|four|five|\d)\b|and|in|last|this|two|from|for|since|\d))", fixed="head", only="author"),
    Rule("relationship", "got get be", r"back together with (?P<value>(?-i:[A-Z])\w+)", only="author"),
    Rule("relationship", "broke split parted separated", r"(?:up|ways)? ?(?:with|from) (?:my )?(?P<value>[\w' -]{2,40}?)(?=$|[.,!?]| (?:on|last|in|this|after|because|two|a|yesterday|over|at)\b)", ends="relation", only="author"),
    Rule("relationship", "nomore", r"be (?:with|dating|seeing) (?:my )?(?P<value>(?-i:[A-Z])\w+|boyfriend|girlfriend|partner|husband|wife)", ends="value", only="author"),
    Rule("is", "be", r"(?P<value>pregnant(?: with \w+)?|getting (?:married|divorced)|married|engaged|divorced|single|expecting)\b", only="kin"),
    Rule("is", "died passed", r"(?P<value>)(?:away)?", fixed="died", only="kin"),
    Rule("is", "be", r"(?P<value>expecting (?:an? (?:baby(?: \w+)?|child|boy|girl)|twins|our (?:first|second|third)(?: \w+)?))", only="author"),
    Rule("is", "been", r"(?P<value>sober|clean|pregnant|teetotal|smoke[- ]free)(?=$|[.,!?;]| (?:since|and|now|for|over|almost|nearly|\d))", only="author"),
    Rule("is", "be", r"(?P<value>pregnant(?: with \w+)?|left[- ]handed|ambidextrous|sober|(?:left|right)[- ](?:handed|footed)|an? (?:total |bit of an? |big )?(?:introvert|extrovert|night owl|early bird|perfectionist|smoker|non-?smoker|lefty|blood donor|twin)|a leftie|a southpaw|on (?:maternity|paternity|mat) leave|on parental leave|taking a gap year)(?=$|[.,!?;]| (?:since|and|now|for|at|by)\b)", only="author"),
    Rule("is", "be bare", r"(?P<value>sober|smoke[- ]free)(?= (?:this|today|next|tomorrow|as of)\b)", only="author", needs="sober|smoke"),
    Rule("family", "be", r"(?:an? |the )?(?P<value>(?:proud |single )?(?:mother|father|mom|mum|dad|parent|grandmother|grandfather|grandma|grandpa) (?:of|to) [\w ]+?(?=$|[.,!?]| (?:from|in|living|with|who|based|and|at|near)\b)|only child|(?:youngest|oldest|eldest|middle child) of \w+(?: children| kids| siblings)?|twin|orphan)", only="author"),
    Rule("family", "be", r"(?:an? )?\d+[- ]?(?:years?|yrs?|y)[-/ ]?o(?:ld)? (?P<value>(?:single )?(?:mother|father|mom|mum|dad|parent) (?:of|to) \w+)(?=$|[.,!?]| (?:from|in|living|with|who|based|boys|girls|kids|children)\b)", only="author", needs="other|father|mom|mum|dad|parent"),
    Rule("family", "bare", r"(?P<value>only child|(?:youngest|oldest|eldest) of \w+)$", only="author"),
    Rule("family", "be", r"(?P<value>one of (?:two|three|four|five|six|seven|eight|nine|ten|\d+) (?:kids|children|siblings|brothers|sisters|boys|girls)|one of (?:two|three|four|five|six|seven|eight|nine|ten|\d+)$)", only="author"),
    Rule("family", "have", r"(?P<value>no (?:siblings|brothers or sisters|brothers and sisters))\b", only="author", needs="sibling|brother"),
    Rule("family", "be", r"an? (?P<value>single (?:mom|mum|dad|parent|mother|father))\b", only="author"),
    Rule("has", "be", r"an? single (?:mom|mum|dad|parent|mother|father) (?:with|of) (?P<value>(?:an?|one|two|three|four|five|\d) (?:kids?|children|boys?|girls?|sons?|daughters?))", only="author"),
    Rule("family", "bare", r"(?P<value>(?:proud |single )?(?:mother|father|mom|mum|dad|parent) (?:of|to) (?:\w+ ?){1,2}?)(?=$| from\b)", only="author"),
    # what is eaten, what ails
    Rule("diet", "be been went gone became turned", rf"(?:an? |on |the (?:only|token|resident) )?(?:strict |lifelong |ethical |committed |now )*{_DIET}", needs="veg|pesc|plant|lactose|gluten|dairy|flexi|diet|keto|carb|teetotal|kosher|halal|sugar|paleo"),
    Rule("diet", "bare", rf"(?:as )?(?:an? )?(?:strict |lifelong )*{_DIET}(?:$| (?:here|so|since|for|now)\b)", needs="veg|pesc|plant|lactose|gluten|dairy|flexi|diet|keto|carb|teetotal|kosher|halal|sugar|paleo"),
    Rule("diet", "be", r"(?:doing|following|on) (?P<value>keto|paleo|low[- ]carb|slimming world|whole30|intermittent fasting|atkins|fodmap|a [\w-]+ diet)\b"),
    Rule("diet", "keep eat follow", rf"(?:only |mostly )?(?:an? |the )?{_DIET}", needs="veg|pesc|plant|lactose|gluten|dairy|flexi|diet|keto|carb|teetotal|kosher|halal|sugar|paleo"),
    Rule("diet", "nomore usedto", rf"be (?:an? )?(?:strict )?{_DIET}", ends="value"),
    Rule("does not eat", "not cannot can't nomore", rf"(?:eat|drink|do|have|touch|consume|tolerate|digest) (?P<value>{_FOOD}(?:(?:, | or | and |/){_FOOD})*)\b"),
    Rule("does not eat", "not cannot can't nomore", rf"(?:eat|drink) (?!(?:much|enough|well|here|lunch|breakfast|dinner|out|at|after|before|a lot|many|that|this|it|anything$)\b){_PLACE}"),
    Rule("does not eat", "not", r"(?P<value>drink)$"),
    Rule("does not eat", "gave given cut stopped quit avoid went", rf"(?:up |out |off |eating |drinking |down on )*(?P<value>{_FOOD})\b"),
    Rule("does not eat", "be been bare", rf"off (?:the )?(?P<value>{_FOOD}|drink)(?=$|[.,!?]| (?:since|for|now|completely|these|until|this)\b)"),
    Rule("does not eat", "bare", rf"(?P<value>{_FOOD}) (?:doesn't|don't|does not|do not|never) agrees? with me\b"),
    Rule("allergic to", "bare", r"(?P<value>(?!(?:it|this|that|he|she|they|you|what|nothing)\b)[\w' -]{2,25}?) (?:makes? me (?:swell|itch|break out|come out in)|makes? my (?:throat|face|lips|tongue|eyes|skin) (?:swell|itch|close|puff|burn|water)|(?:brings?|bring) me out in|gives? me (?:hives|a rash))", needs="my |out in|give"),
    Rule("does not eat", "bare", rf"(?P<value>{_FOOD}) (?:is|are)(?: now)? (?:off the menu|a no(?:[- ]go)?(?! for you)|off limits|out for me|forbidden|banned)\b(?! in\b)", needs="off |a no|out for|forbid|banned"),
    Rule("does not eat", "bare", rf"no (?P<value>{_FOOD}) (?:for me|please)"),
    Rule("allergic to", "be", rf"(?:\w+ )?allergic (?:to|against) {_VALUE}", needs="allergic"),
    Rule("allergic to", "bare", rf"allergic to {_VALUE}"),
    Rule("allergic to", "bare", r"(?P<value>[\w-]+(?: [\w-]+)?) allergy(?: here)?$", needs="allergy"),
    Rule("allergic to", "have been", rf"(?:an? )?(?:\w+ )?allergy to {_VALUE}", needs="allergy"),
    Rule("allergic to", "have", r"(?:an? )?(?:severe |bad |mild |serious )?(?P<value>(?!food\b|skin\b|seasonal\b|no\b|any\b|many\b|some\b|severe\b)[\w-]+(?: [\w-]+)?) allerg(?:y|ies)\b", needs="allerg"),
    Rule("illness", "have had get got suffer been live struggle fight battle be", rf"(?:from |with |suffering from |living with |struggling with |got |in therapy for |treated for |battling )?(?:an? |the )?(?P<value>{_ILLNESS}(?:,? (?:and|or) {_ILLNESS})*)(?![\w-])", check="ill"),
    Rule("illness", "have", r"(?:an? )?(?P<value>(?:bad(?= (?:back|knees|hips|eyesight|hearing|heart)\b)|dicky|wonky|stiff|arthritic|ruptured|dodgy|bulging|slipped|trapped|torn|weak|knackered|gammy|herniated|underactive|overactive|enlarged) (?:back|knees?|hips?|shoulder|heart|thyroid|lungs|stomach|ticker|eyes|eyesight|discs?|nerve|hearing|bladder|chest))(?=$|[.,!?]| (?:so|and|since|from|now|too)\b)"),
    Rule("illness", "have had been", r"(?P<value>type (?:1|2|one|two))(?=$|[.,!?]| (?:for|since|and)\b)"),
    Rule("illness", "be bare", r"(?:an? |as an? )(?P<value>wheelchair user|(?:type (?:1|2|one|two) )?diabetic|asthmatic|epileptic|migraine sufferer|stroke survivor|cancer survivor|coeliac|celiac|stutterer|stammerer|amputee|recovering (?:alcoholic|addict))\b"),
    Rule("illness", "be been was got diagnosed", rf"(?:diagnosed |just diagnosed )?with (?:an? )?(?:(?:severe|mild|chronic) )?{_VALUE}", check="diagnosed"),
    Rule("illness", "be been bare", r"(?:an? )?(?:bit |partially |legally |fully )?(?P<value>(?:type (?:1|2|one|two) )?(?:diabetic|pre-?diabetic|asthmatic|epileptic|colou?r[ -]?blind|deaf|blind|dyslexic|autistic|an?emic|bipolar(?: \d| (?:one|two|I+))?|hiv[ -]positive|hearing[- ]impaired|visually[- ]impaired|partially[- ]sighted|(?:short|near|long)[- ]sighted|(?:registered )?disabled|in a wheelchair|c(?:o)?eliac|arthritic|hard of hearing|an insomniac)(?! (?:to|without|with (?:rage|love))\b)(?: in (?:my|his|her|one|the)(?: \w+)? (?:eye|ear))?)\b"),
    Rule("illness", "be been", r"in an? (?P<value>wheelchair)\b", needs="wheelchair"),
    Rule("illness", "was been got", r"(?:just |recently |finally )?diagnosed (?:as )?(?:an? )?(?P<value>(?:type (?:1|2|one|two) )?(?:autistic|bipolar|dyslexic|diabetic|epileptic|asthmatic|coeliac|celiac|schizophrenic|dyspraxic))\b", needs="diagnosed"),
    Rule("takes", "be been bare take started prescribed put", r"(?:me |us )?(?:back |now |still |taking )*(?:on )?(?:a )?(?:low |high )?(?:dose |doses )?(?:of )?(?P<value>(?:vitamin [a-z]\d*|(?:(?:blood|beta|sleeping|iron|birth control|water|heart|thyroid|allergy|anxiety) )?[a-z]+)(?: and (?:vitamin [a-z]\d*|[a-z]+))?)(?=$|[.,!?]| (?:for|since|now|and|every|twice|daily|once|three|two|a|about|because|at|the|to)\b)", check="medicine"),
    Rule("takes", "stopped quit nomore came", r"(?:be )?(?:taking |take |off )(?:my |the )?(?P<value>[a-z]+)(?=$|[.,!?]| (?:in|last|this|two|a|and|because|after)\b)", ends="value", check="medicine"),
    Rule("takes", "take", r"(?P<value>(?!(?:a|an|the|it|my|care|time|place|part|this|that|\d|long|one|some|notes|photos|pictures|pride)\b)[a-z]+(?:in|ol|ine|ide|ate|am|one|um|pril|zole|xin|mab|pam|ants?|pills|vitamins?|supplements|\w* insulin|lithium))(?= |$)"),
    # languages and studies
    Rule("speaks", "speak know understand", rf"{_SKILL}{_LANGUAGES}"),
    Rule("speaks", "bare", rf"my (?P<value>{_LANGUAGE})(?: is|'s) (?!terrible|bad|awful|rubbish|non)(?:\w+ )?(?:rusty|shaky|basic|limited|conversational|intermediate|b[12]|c[12]|fluent|good|decent|great|perfect|excellent|ok|okay|passable|native|near[- ]native|alright)\b"),
    Rule("speaks", "grew", rf"up (?:speaking|with|bilingual in) (?:both )?{_LANGUAGES}"),
    Rule("speaks", "can", rf"(?:read|write|understand|read and write) {_SKILL}{_LANGUAGES}"),
    Rule("speaks", "can", rf"speak {_SKILL}{_LANGUAGES}"),
    Rule("speaks", "be", rf"(?:fluent|native|bilingual|proficient|conversational|an? native speaker)(?: in| of|:)? (?:both )?{_LANGUAGES}"),
    Rule("speaks", "be", rf"an? (?:fluent |native )?{_LANGUAGES} speaker"),
    Rule("learning", "be been", rf"(?:learning|studying|taking|picking up|brushing up on|teaching myself)(?: how)?(?: to(?: play| speak)?)? ?(?:the |some |my )?(?P<value>{_LANGUAGE}|(?:guitar|piano|violin|drums|ukulele|cello|bass|saxophone|trumpet|flute|clarinet|harp|trombone|oboe|accordion|banjo|harmonica|viola|keyboard|python|rust|javascript|typescript|sql|code|coding|drive|driving|swim|knit|knitting|cook|paint|sew|dance|surf|ski)(?: lessons| classes)?)\b"),
    Rule("learning", "started began start took", rf"(?:learning|studying|taking|to learn|up)(?: to(?: play)?)? (?:an? |the |some )?(?P<value>(?:\w+ )?(?:{_LANGUAGE}|guitar|piano|violin|drums|ukulele|python|rust|cello|sewing|knitting)(?: lessons| classes)?)\b"),
    Rule("learning", "be", rf"(?:working on|trying to (?:get|improve|learn|brush up|polish|keep up)|improving|brushing up on|polishing|practi[sc]ing|on (?:my|the) \w+ (?:year|month|week) of)(?: up)?(?: on)? (?:my |some |learning |studying |duolingo )*(?P<value>{_LANGUAGE})\b"),
    Rule("learning", "be been do take started", r"(?:doing |taking |on |started )?(?:an? |some )?(?:(?:evening|night|online|weekend|part-time|beginners'?|weekly) )*(?:class|course|classes|lessons|workshop) (?:in|on) (?P<value>[a-z][\w -]{2,30}?)(?=$|[.,!?]| (?:at|on|and|with|to|for|this|next|so|every|in)\b)", needs="class|course|lesson|workshop"),
    Rule("learning", "be", rf"on (?:my|the) \w+ attempt (?:at|to) learn(?:ing)? (?P<value>{_LANGUAGE})"),
    Rule("learning", "started began took taking have", rf"(?:my |some |weekly |online )*(?P<value>(?:{_LANGUAGE}|guitar|piano|violin|drum|cello|flute|singing|driving|swimming|trumpet|harp) (?:lessons|classes))\b"),
    Rule("learning", "quit stopped gave dropped", rf"(?:up )?(?:on )?(?:my )?(?P<value>{_LANGUAGE}|{_LANGUAGE} (?:lessons|classes))(?=$|[.,!?]| (?:last|in|at|after|this|because|two|lessons|classes)\b)", ends="value"),
    Rule("learning", "quit stopped gave nomore", rf"(?:up )?(?:learning|studying|taking|learn) {_PLACE}", ends="value", check="language"),
    Rule("learning", "study", rf"(?P<value>{_LANGUAGE})(?=$|[.,!?]| (?:with|on|in|every|at|as|by|online|now|and)\b)"),
    Rule("studies at", "be been", rf"(?:an? |in )?(?:(?:first|second|third|final|fourth|phd|master's|masters|medical|law|graduate|grad|mature|part-time|full-time|foreign|postgrad|postgraduate|undergraduate|international|final-year|exchange|college|uni|university|my \w+|nursing)[ -]?(?:year)? ?)*(?:student|undergrad|freshman|sophomore|junior|senior|studying(?: [\w ]{{2,30}}?)?|enrolled|year(?: of [\w' ]+?)?|postdoc) (?:at|in (?=the university)) ?(?:the )?{_PLACE}"),
    Rule("studies at", "be been", rf"(?:an? )?fresher at (?:the )?{_PLACE}", needs="fresher"),
    Rule("studies at", "be", rf"at (?P<value>(?-i:[A-Z])[\w']+(?: (?:university|uni|college))?) (?:studying|doing|reading) (?:{_SUBJECT})\b", needs="studying|doing|reading"),
    Rule("studies", "be", rf"at (?-i:[A-Z])[\w']+(?: (?:university|uni|college))? (?:studying|doing|reading) (?P<value>{_SUBJECT})\b", needs="studying|doing|reading"),
    Rule("studies at", "be", r"at (?P<value>oxford|cambridge|yale|harvard|princeton|stanford|mit|lse|ucl|caltech|berkeley|columbia|cornell)(?=$|[.,!?]| (?:and|now|doing|studying|reading)\b)"),
    Rule("studies at", "started start starting go", r"(?:at|to) (?:the )?(?P<value>(?:(?-i:[A-Z])[\w']+ )+(?:university|uni|college)|(?:university|college) of (?-i:[A-Z])\w+)"),
    Rule("studies", "be do did", r"(?:doing |sitting )?(?:my |his |her )(?P<value>a[- ]levels?|gcses|highers|leaving cert)\b"),
    Rule("studies at", "did do have", r"(?:an? |my )(?:phd|ph\.?d|doctorate|master'?s|masters|degree|ba|bsc|msc|ma|bachelor'?s|mba) in (?P<value>(?-i:[A-Z])\w+)$", check="place name"),
    Rule("studies at", "study", rf"(?:[\w ]{{2,40}}? )?(?:at|in(?= (?:the )?(?-i:[A-Z]\w+ )?(?:university|college|school))) (?:the )?{_PLACE}"),
    Rule("studies at", "go be", rf"(?:going )?to (?:school|college|university|uni)(?: [\w ]{{2,25}}?)? (?:at|in) (?:the )?{_PLACE}"),
    Rule("studies at", "go attend be", r"(?:to |attending |going to )?(?:the )?(?P<value>(?=[\w ]*(?:university|college|school|institute|academy|conservatory|uni|elementary|kindergarten|high)\b|MIT\b|UCLA\b|ETH\b|NYU\b)(?-i:[A-Z])[\w&' -]+?)(?=$|\s*[,.!]| (?:and|doing|studying|for|now|in)\b)", needs="universit|college|school|institute|academy|conserv|uni|elementary|kindergarten|high|mit|ucla|eth|nyu"),
    Rule("studies at", "got", r"(?:accepted |admitted )?into (?P<value>[\w' ]*(?:school|university|college|(?-i:[A-Z])\w+)[\w' ]*?)(?=$|[.,!?;]| (?:for|last|this)\b)"),
    Rule("studies at", "be", r"in (?P<value>(?:high|middle|elementary|primary|secondary|grad|graduate|law|med|medical|nursing|art) school|college|university|uni)(?=$|[.,!?]| (?:and|right|in|at|studying)\b)"),
    Rule("studies at", "dropped", r"out of (?!the (?:race|running|game)\b)(?:the )?(?P<value>[\w' ]+?)(?=$|[.,!?;]| (?:last|in|after|to|this)\b)", ends="value"),
    Rule("studies at", "be", rf"(?:doing|finishing|starting) (?:a|my) (?:phd|master's|masters|degree|ba|bachelor's|postdoc)(?: (?:in|on) [\w ]{{2,40}}?)? (?:at|in(?= (?-i:[A-Z]))) (?:the )?{_PLACE}"),
    Rule("studies", "study", _STUDIED),
    Rule("studies", "be been", rf"(?:studying|majoring in|reading(?= \w+ at)) (?!{_LANGUAGE}\b){_STUDIED}"),
    Rule("studies", "be", r"(?:at|in|off at|away at) (?:university|uni|college|school)(?: in [\w ]+?)?,? (?:studying|doing|reading|for) (?P<value>[a-z]+(?: [a-z]+)?)(?=$|[.,!?]| (?:in|at|now|and)\b)"),
    Rule("studies at", "be", r"(?:at|off at|away at) (?P<value>university|uni|college|art school|law school|med(?:ical)? school|drama school|(?-i:[A-Z])\w+ (?:university|college|uni))(?=$|[.,!?]| (?:in|studying|doing|reading|now|and)\b)"),
    Rule("studies at", "go started start", r"(?:to|at) (?P<value>(?-i:[A-Z])[\w']+(?: (?-i:[A-Z])[\w']+)*)(?=$|[.,!?]| (?:and|in|now|next|this)\b)", only="kin", check="of a child"),
    Rule("studies", "major majored", rf"in {_STUDIED}"),
    Rule("studies", "be", rf"(?:doing|finishing|starting) (?:a|my) (?:phd|doctorate|master's|masters|degree|ba|bachelor's) in {_STUDIED}"),
    Rule("studies", "be bare", r"(?:in|on) (?:my|the|his|her) (?:\w+|\d\w\w) year (?:of|studying|doing|reading) (?:an? |my )?(?P<value>(?!(?:[a-z]+ )?(?:degree|course|program\w*|studies|school|uni|university|college)\b)(?!phd|doctorate|masters?|residency|training|apprenticeship|marriage|mortgage|lease|retirement|therapy|school|uni|university|college|work|life|recovery|duolingo|covid|the|it|this|high)[a-z]+(?: [a-z]+)?)(?=$|[.,!?]| (?:at|in|now|and)\b)"),
    Rule("studies at", "be bare", rf"(?:in|on) (?:my|the|his|her) (?:\w+|\d\w\w) year (?:(?:of|studying|doing|reading) [\w ]{{3,30}}? )?at (?:the )?{_PLACE}"),
    Rule("studies", "be", r"studying to be(?:come)? (?:an? )?(?P<value>[\w' -]{3,30}?)(?=$|[.,!?]| (?:at|in|and|so|but|now)\b)"),
    Rule("studies", "switched changed transferred", rf"(?:courses? |majors? |degrees? )?(?:from (?:{_SUBJECT}) )?(?:in)?to (?P<value>{_SUBJECT})(?=$|[.,!?]| (?:and|but|so|last|this|in|at|after|from|because)\b)"),
    Rule("studies", "switched changed transferred", rf"(?:courses? |majors? |degrees? )?from (?P<value>{_SUBJECT}) (?:in)?to\b", ends="value"),
    Rule("studies", "be", r"in (?:my|the) \w+ year of (?:an? |my )?(?P<value>[\w ]+?) (?:degree|course|program\w*|studies)\b"),
    Rule("studies", "be", r"(?:an? )?(?:[\w-]+[ -]year )?(?P<value>(?:medical|law|nursing|engineering|physics|biology|history|art|computer science|business|economics|psychology|chemistry)) (?:student|undergrad|major)\b", needs="student|undergrad|major"),
    Rule("studies", "be", rf"reading (?P<value>{_SUBJECT}|{_LANGUAGE}) (?=at\b)"),
    Rule("studies at", "be", rf"(?:reading|doing) (?:{_SUBJECT}|{_LANGUAGE}) at (?:the )?{_PLACE}"),
    Rule("studies", "be", rf"doing (?P<value>(?:{_words('geography history physics chemistry biology maths math english law medicine psychology philosophy engineering economics sociology art')}))\b"),
    Rule("studies at", "started start", rf"(?:an? |my )?(?:phd|ph\.?d|doctorate|master'?s|masters|degree|ba|bsc|msc|ma|bachelor'?s|mba|pgce|foundation year|diploma|course)(?: degree)?(?: (?:in|on) [\w ]{{3,40}}?)? at (?:the )?{_PLACE}"),
    Rule("studies", "have had did do got started start", rf"(?:an? |my )?(?:phd|ph\.?d|doctorate|master'?s|masters|degree|ba|bsc|msc|ma|bachelor'?s|mba)(?: degree)? in {_STUDIED}", check="no place name"),
    Rule("studies", "switched changed", rf"(?:my )?(?:major|majors|degree|course|studies) (?:from [\w ]+? )?to {_PLACE}"),
    Rule("studies", "switched changed", r"(?:my )?(?:major|majors|degree|course|studies) from (?P<value>[\w ]+?)(?= to\b)", ends="value"),
    Rule("graduated from", "graduated", rf"(?:in \d+ |last year |recently )?from (?:the )?{_PLACE}"),
    Rule("graduated from", "finished completed", r"(?:my )?(?P<value>(?:high|law|med|medical|grad|secondary|business|art) ?school|college|university|uni)\b"),
    Rule("graduated from", "did have got finished completed", rf"(?:an? |my )?(?:phd|doctorate|master'?s|masters|degree|ba|bsc|msc|ma|bachelor'?s|mba|undergrad)(?: in [\w ]+?)? (?:at|from) (?:the )?{_PLACE}"),
    # tastes
    Rule("likes", "usedto", rf"(?:like|love|enjoy|adore|be into|be a fan of) {_VALUE}", ends="value"),
    Rule("dislikes", "nomore", rf"(?:like|love|enjoy|adore|care for) {_VALUE}"),
    Rule("dislikes", "hate dislike detest loathe despise", _VALUE),
    Rule("dislikes", "can't cannot", rf"(?:stand|bear|abide|stomach) (?!up\b|still\b|straight\b|next\b|here\b|for\b){_VALUE}"),
    Rule("dislikes", "not", rf"(?:like|love|enjoy|care for|get on with) {_VALUE}"),
    Rule("dislikes", "not", rf"(?:be )?(?:much |really |actually |exactly |particularly |too |that |at all )?(?:an? )?(?:(?:big |huge |great )?(?:fan of|lover of)|fond of|into|keen on|crazy about|interested in) {_VALUE}"),
    Rule("dislikes", "not", r"(?:be )?(?:much of |really )?(?:an? )(?P<value>[\w -]{2,25}?) (?:fan|person|lover)\b", check="fan"),
    Rule("likes", "like love enjoy adore", _VALUE),
    Rule("likes", "fallen fell", rf"in love with {_VALUE}"),
    Rule("likes", "fallen fell", rf"out of love with {_VALUE}", ends="value"),
    Rule("likes", "be been", rf"(?:all )?(?:an? )?(?:(?:big |huge |massive |real |die-?hard |lifelong )?(?:fan of|lover of|sucker for|supporter of)|fond of|in love with|into|crazy about|nuts about|mad about|keen on|passionate about|obsessed (?:with|by)|big on|hooked on|addicted to) {_VALUE}"),
    Rule("likes", "be bare", r"(?:an? )?(?:big |huge |massive |real |die-?hard |lifelong |total )*(?P<value>(?!(?:big|huge|fan)\b)[\w' -]{2,25}?)[ -](?:fan|lover|enthusiast|buff|supporter|geek|nerd|nut|addict|person|drinker)\b(?! of)", check="fan", needs="fan|lover|enthus|buff|support|geek|nerd|nut|addict|person|drinker"),
    Rule("likes", "bare", rf"(?:an? )?(?:big |huge |massive )?fan of {_VALUE}"),
    Rule("likes", "support", _PROPER),
    Rule("likes", "read watch", rf"(?:a lot of|mostly|lots of) (?P<value>[\w -]{{2,30}}?){_END}"),
    Rule("prefers", "prefer", _VALUE),
    Rule("afraid of", "bare", r"(?P<value>(?!(?:it|this|that|he|she|they|you|what|nothing)\b)[\w' -]{2,30}?) (?:scares?|terrif(?:y|ies)|frightens?|freaks?|petrif(?:y|ies)) (?:the \w+ out of )?me\b", needs=" me"),
    Rule("afraid of", "have bare", rf"(?:an? )?(?:\w+ )?(?:fear|phobia) of {_VALUE}", needs="fear|phobia"),
    Rule("afraid of", "be", rf"(?:\w+ )?(?:afraid|scared|terrified|frightened|petrified) of {_VALUE}", needs=" of "),
    # what people do in their time
    Rule("hobby", "play", r"(?:the |some )?(?P<value>(?!\w+ly\b)(?!(?:along|around|nice|it|games|cards|catch|a|an|together)\b)[\w-]+(?: [\w-]+)?) (?:with|for|in|at) (?:my |the |a |an |some |our )?(?:[\w-]+ )?(?:lads|mates|friends|colleagues|coworkers|family|kids|sons?|daughters?|brothers?|sisters?|dad|club|team|band|league|orchestra|pub|local|girls|guys|people|neighbours?|neighbors?)\b"),
    Rule("hobby", "play", r"(?:the |some |a lot of )?(?P<value>(?!\w+ly\b)(?!(?:devil's|the devil|an? part|with|a role|along|it|dumb|a game|music$|around|nice|on|at|together|that|this|them|catch|hard|pretend|to|for|one|these|those|and)\b)[\w' -]{2,30}?)" + _END),
    Rule("hobby", "joined", r"(?:an? |the |my |our )(?P<value>(?:(?!book\b)[\w-]+ ){0,2}?(?:choir|band|orchestra|running club|book club|rowing club|chess club|cycling club|swim(?:ming)? club|tennis club|theatre group|drama group|football team|football club|rugby club|rugby team|hiking group|walking group|knitting group|improv group|dance class|pottery class|softball team|netball team|hockey team|climbing club|fencing club|judo club|brass band))\b"),
    Rule("hobby", "be been", rf"playing (?:the |some )?(?P<value>(?!\w+ly\b)(?!(?:for|in|since|to|and|again|with|a role|along|it|dumb|a game|around|on|at|together|that|this|them|devil)\b)[\w' -]{{2,30}}?){_END}"),
    Rule("hobby", "be", r"an? (?:keen |avid |passionate |amateur |casual |competitive |big |hobby )*(?P<value>runner|hiker|climber|cyclist|swimmer|surfer|skier|gamer|birdwatcher|knitter|rower|sailor|skateboarder|snowboarder|gardener|bookworm)(?=$|[.,!?]| (?:and|since|for)\b)", only="author"),
    Rule("hobby", "do", r"(?P<value>marathons|triathlons|ironmans|half marathons|trail runs)\b"),
    Rule("hobby", "be", r"in (?:an? |the |my )(?:local |church |community |rock |punk |jazz |metal |folk |blues |covers |tribute |brass |wedding |indie |pop |village |big |swing |ska )?(?P<value>choir|band|orchestra|running club|book club|rowing club|theatre group|drama group|sunday league)\b"),
    Rule("hobby", "been", r"(?:doing |going |learning )?(?P<value>pottery|yoga|pilates|crossfit|karate|judo|boxing|ballet|ceramics|photography|knitting|crocheting|embroidery|running|climbing|bouldering|cycling|swimming|painting|birdwatching|gardening|woodworking|surfing|fencing|rowing|skating)\b(?! (?:ceilings?|walls?|fences?|doors?|windows?|houses?|rooms?|kitchens?|the|my|our|an?|up|over|his|her|this|that|late|around|out|behind|through|into))"),
    Rule("hobby", "write", r"(?:some )?(?P<value>poetry|poems|songs|short stories|fan ?fiction|novels|haikus?)\b(?! for (?:a living|work|an?)\b)"),
    Rule("likes", "have", r"an? (?:real |huge |big |total |massive |bit of a )?(?:soft spot|weakness|passion|love|obsession) (?:for|with) (?P<value>[^.!?()\"]{2,60}?)" + _END),
    Rule("dislikes", "not", rf"(?:be )?(?:too |that |very |really |all that )?(?:big|keen|hot|sold) on {_VALUE}"),
    Rule("hobby", "stopped quit gave dropped", rf"(?:up |on )?(?P<value>{_PASTIME})(?=$|[.,!?]| (?:last|in|after|this|because|two|when|years|completely|lessons)\b)", ends="value"),
    Rule("hobby", "took taken", rf"up (?P<value>{_PASTIME})\b"),
    Rule("hobby", "started begun", rf"(?:doing |playing |to do |to play )?(?P<value>{_PASTIME})(?=$|[.,!?]| (?:last|this|in|again|with|at|lessons|two|when|after|every)\b)"),
    Rule("hobby", "usedto", r"(?P<value>fence|row|box|swim|ski|surf|climb|dance|sing|paint|run|act|skate|cycle|sail|knit|draw|dive|golf|fish|hike|skateboard|snowboard|bake|sew)(?=$|[.,!?]| (?:a lot|every|competitively|at|in|for|as|when|back|until|till)\b)", ends="value"),
    Rule("hobby", "paint draw", r"(?:in |with )?(?P<value>watercolou?rs?|oils?|landscapes|portraits|miniatures|comics|manga|still lifes|acrylics|pastels|model trains|warhammer)\b"),
    Rule("hobby", "stopped quit gave", r"(?:up )?(?:playing|doing) (?:the )?(?P<value>(?!it\b|that\b|this\b|so\b|what\b)[\w' -]{2,30}?)" + _END.replace("\\b(?:", "\\b(?:after|last|in|this|", 1), ends="value"),
    Rule("hobby", "collect", r"(?!(?:my|your|the|our|thoughts|data|dust|evidence|feedback|info|information|it|them|rent|taxes)\b)(?:old |vintage |rare )*(?P<value>[\w' -]{2,30}?)" + _END),
    Rule("hobby", "do practise practice started", r"(?:some |a lot of |doing |to do )?(?P<value>yoga|pilates|crossfit|karate|judo|boxing|aikido|taekwondo|jiu-jitsu|bjj|martial arts|ballet|pottery|ceramics|gardening|photography|improv|triathlons?|parkour|gymnastics|archery|woodworking|calligraphy|origami)\b"),
    Rule("hobby", "go", r"(?P<value>(?!shopping|crazy|missing|bowling for)[a-z]{3,}ing)\b"),
    Rule("hobby", "go", r"to (?:the |a )?(?P<value>gym|yoga|pilates|dance class|karate|boxing|swimming|choir|spin class)\b"),
    Rule("hobby", "play", r"in (?:an?|the|our|my) (?P<value>(?:[\w-]+ )?(?:band|orchestra|quartet|quintet|ensemble))(?=$|[.,!?]| (?:and|on|at|every|with|in)\b)"),
    Rule("hobby", "drum", r"(?P<value>)in (?:an?|the|my)\b[\w -]*band\b", fixed="head"),
    Rule("hobby", "do", r"(?:a bit of |some |the )?(?P<value>crosswords?|woodwork|sudokus?|jigsaws?|embroidery|tai chi|amateur dramatics|stand-up|needlework|metalwork|leatherwork|macram[eé]|capoeira|zumba|spin|salsa)\b"),
    Rule("hobby", "sing", r"(?P<value>(?:first |second )?(?:alto|tenor|soprano|bass|baritone))\b"),
    Rule("hobby", "play", rf"(?:for|in) (?:an?|the|our|my) (?:[\w-]+ )?(?P<value>{_PASTIME}|{_INSTRUMENT}) (?:team|club|side|league)\b"),
    Rule("hobby", "do", r"(?:a lot of|a bit of|lots of|a little) (?P<value>(?!nothing|running around|waiting|thinking|reading|talking|cooking|cleaning|driving|travel+ing)[a-z]{3,}ing)(?=$|[.,!?]| (?:in|on|at|these|with|and)\b)"),
    Rule("hobby", "build restore make collect", r"(?P<value>(?:model|miniature|vintage|classic|antique|old) (?:ships?|boats?|planes?|aircraft|trains?|railways?|cars?|clocks?|radios?|watches|furniture|bikes?|motorbikes?|tractors?|cameras?|instruments?))\b", check="doing"),
    Rule("hobby", "be", r"(?:an? )?(?:proud |keen )?member of (?:an?|the|my|our) (?:local )?(?P<value>(?:[\w-]+ )?(?:choir|band|orchestra|running club|book club|rowing club|chess club|cycling club|swimming club|tennis club|climbing club|theatre group|drama group))\b", needs="member of"),
    Rule("hobby", "play", rf"(?:the |some |a (?:bit|lot|little) of |a )?(?P<value>{_PASTIME}|{_INSTRUMENT})\b"),
    Rule("hobby", "sing", r"in (?:an? |the )?(?P<value>(?:[\w-]+ )?(?:choir|band))"),
    Rule("hobby", "run", r"(?P<value>marathons|half[- ]marathons|ultras|ultramarathons|trails)\b"),
    Rule("hobby", "paint knit sew draw sculpt write crochet embroider quilt whittle", r"(?P<value>)(?=$)", fixed="head"),
    Rule("hobby", "swim ski surf climb hike fence sail row box", r"(?P<value>)(?=$|[.,!?]| (?:every|most|twice|three times|once a|on (?:mondays|tuesdays|wednesdays|thursdays|fridays|saturdays|sundays|weekends)|at weekends|at the (?:weekend|lido|pool|club)|competitively|for (?:fun|the county|my))\b)", fixed="head"),
    Rule("hobby", "ride", r"(?P<value>horses|motorbikes)(?=$|[.,!?]| (?:at|every|on|in|and|since)\b)"),
    Rule("hobby", "nomore usedto", r"(?:play|do|collect) (?:the )?(?P<value>[\w' -]{2,30}?)" + _END, ends="value"),
    # plans, decisions, wishes
    Rule("decided", "decided chosen agreed", rf"(?:to |on |that )(?!that\b){_VALUE}"),
    Rule("plans", "be", rf"(?:going to |about to |hoping to |looking to |set to |gonna ){_PLANNED}{_NO_ASK}(?P<value>[^.!?()\"]{{2,80}}?)(?=$|[.!?])"),
    Rule("plans", "be", rf"(?P<value>due (?:in {_MONTH}|on (?:the )?\d[\w ]{{0,15}}|any day(?: now)?|next month))\b"),
    Rule("plans", "be", rf"planning (?:to |on |(?=an? )){_NO_ASK}(?P<value>[^.!?()\"]{{2,80}}?)(?=$|[.!?])"),
    Rule("plans", "be", r"(?P<value>(?:moving(?! forward| on| along)|relocating|emigrating|getting married|trying for a (?:baby|child)|leaving (?:my|this) job|leaving (?:the )?(?-i:[A-Z])[\w&]+(?=$|[.,!?]| (?:in|at|next|for|soon|after|this))|leaving for|retiring|flying(?! solo| blind| high| by| off| around)|starting (?:at|a new)|going on maternity)\b[^.!?()\"]{0,60})"),
    Rule("plans", "be", rf"(?P<value>going to (?-i:[A-Z])[\w'-]+(?: (?-i:[A-Z])[\w'-]+)?(?: with my \w+)? (?:in (?:{_MONTH}|the (?:spring|summer|autumn|winter|new year))|on (?:the \d|{_DAY})|next|this (?:summer|winter|autumn|spring|weekend)|for (?:a|two|three|the|my|our|christmas|easter))\b[^.!?,()\"]{{0,30}})"),
    Rule("plans", "be", r"(?P<value>training for (?:an? |the |my )?[\w' -]*?(?:marathon|triathlon|ironman|ultra|10k|5k|race|tour|fight|olympics|climb)[\w' -]{0,30}?)(?=$|[.,!?]| (?:so|and|but)\b)"),
    Rule("plans", "will", r"be (?P<value>(?:moving|relocating|starting|travelling|traveling|retiring|getting married|flying|studying|attending)\b[^.!?()\"]{0,70})"),
    Rule("plans", "be", rf"(?:putting|setting) (?:(?:some |a bit of )?(?:money|cash) )?aside (?:some (?:money|cash) )?for (?:an? )?{_VALUE}"),
    Rule("plans", "be", rf"saving (?:up )?(?:for|to buy) (?:an? )?{_VALUE}"),
    Rule("plans", "hope", rf"to {_PLANNED}{_NO_ASK}(?P<value>[^.!?()\"]{{2,80}}?)(?=$|[.!?])"),
    Rule("plans", "plan intend", rf"(?:to|on) {_NO_ASK}(?P<value>[^.!?()\"]{{2,80}}?)(?=$|[.!?])"),
    Rule("plans", "have", r"(?:an? )?(?P<value>(?:appointment|flight|surgery|operation) (?:with|on|to|at) [^.!?()\"]{2,50})"),
    Rule("wants", "want", r"to (?P<value>(?:become|be|live|move|learn|open|start my|study|work (?:as|in|at)|travel|buy a|quit|retire|write a|have (?:kids|children|a))\b[^.!?()\"]{2,60})", check="wished"),
    # possessions
    Rule("has", "adopted fostered have", r"(?:just )?(?P<value>(?:two|three|four|five|\d) (?:little |small |young |teenage )?(?:boys|girls|sons|daughters|lads))(?=$|[.,!?]| (?:and|from|last|this|in|aged|who)\b)"),
    Rule("has", "have own drive ride keep adopted inherited raise breed", rf"(?:also )?{_COUNT} (?!(?:cab|taxi|bus|tram|train|forklift|ambulance|hgv|minicab)\b){_THING}", check="owned"),
    Rule("has", "run", r"(?:an?|my|our|my own|our own) (?P<value>(?:[\w-]+ ){0,2}?(?:business|bakery|shop|caf[eé]|store|farm|studio|salon|restaurant|company|startup|bar|pub|b&b|hotel|bookshop|brewery|blog|podcast|channel|nursery|daycare|guesthouse|guest house|hostel|campsite|garage|gym|practice|clinic|agency|food truck|stall|deli|florist's?|barbershop|newsletter|charity|magazine|label|workshop|vineyard|stables?|kennels?)(?: (?:in|near|on|selling) [\w -]+)?)(?=$|[.,!?]| (?:with|and|for|from)\b)"),
    Rule("has", "bare", r"my (?P<value>car|bike|bicycle|motorbike|motorcycle|scooter|laptop|phone|van|boat) (?:got|was|has been) (?:stolen|nicked|robbed|written off|totalled|totaled|wrecked)", ends="value", needs="stolen|nicked|robbed|written|totalled|totaled|wrecked"),
    Rule("has", "have", r"(?P<value>(?:(?:twin|triplet|grown|small|young|little|identical|blue|brown|green|hazel|grey|gray|blond|blonde|red|dark|black|curly|long|short) )*(?:kids|children|girls|boys|sons|daughters|twins|triplets|eyes|hair|chickens|bees|goats|cats|dogs))(?=\s*(?:$|[.!,;]|\band\b))"),
    Rule("has", "keep raise breed", r"(?P<value>(?:alpacas|llamas|donkeys|quails?|turkeys|ferrets|tortoises|parrots|budgies|canaries|snails|koi|reptiles|tarantulas|chooks|geese|bees|chickens|hens|goats|sheep|pigs|rabbits|horses|cows|pigeons|ducks|cattle|fish|snakes)(?: and (?:(?:a few|some|two|three|four|six|my) )?(?:alpacas|llamas|donkeys|quail|turkeys|ferrets|tortoises|parrots|snails|geese|bees|chickens|hens|goats|sheep|pigs|rabbits|horses|cows|pigeons|ducks|cattle|fish|snakes|dogs|cats|ponies))?)\b"),
    Rule("has", "homeschool", r"(?:our|my) (?P<value>\w+ (?:kids|children))"),
    Rule("has", "wear", r"(?P<value>glasses|contacts|contact lenses|a hearing aid|hearing aids|braces)\b"),
    Rule("has", "had", r"(?:just )?(?:an? )?(?P<value>(?:beautiful |healthy |little )?baby(?: boy| girl)?|son|daughter|little (?:boy|girl)|twins|twin (?:boys|girls)|triplets)(?=$|[.,!?]| (?:last|in|on|this|yesterday|named|called)\b)"),
    Rule("has", "picked", rf"up (?:an? |our first |my first |two |three |another )(?:used |new |secondhand |second-hand )?{_BOUGHT}(?=\s*(?:$|[.!,;]|\b(?:last|this|and|for|from|yesterday|today|in|on|named|called|with|two|after|at|when)\b))"),
    Rule("has", "bought got purchased inherited adopted built rescued", rf"(?!rid\b)(?:me |us |myself |ourselves )?(?:an? |the |our |my |our first |my first |two |three |some |another )*{_BOUGHT}(?=\s*(?:$|[.!,;]|\b(?:last|this|and|for|from|yesterday|today|in|on|named|called|with|two|after|together|at|when)\b))"),
    Rule("has", "bought", r"(?:me |us |myself |ourselves )?(?:an? |another )(?:new |used |second-?hand )?(?P<value>(?-i:[A-Z])[\w-]*(?: (?-i:[A-Z\d])[\w-]*)*)(?=$|[.,!?]| (?:last|this|and|for|from|yesterday|today|instead|with|after|on)\b)"),
    Rule("has", "switched traded swapped", rf"(?:in )?(?:my |our )+(?:old |trusty )?{_BOUGHT} (?:to|for|in for) (?:an? |the |some)", ends="value"),
    Rule("has", "got have", r"(?:my |a )?(?P<value>(?:driving|driver's|driver|pilot's|pilot|hgv|motorbike|boat|skipper's) licen[cs]e|citizenship(?! test| exam| interview| ceremony| application)|green card|us citizenship|dual citizenship|permanent residency)"),
    Rule("has", "bare", r"(?P<value>(?:one|two|three|four|five|\d) (?:kids?|children|boys?|girls?|sons?|daughters?|lads?|cats?|dogs?|grandkids|grandchildren|horses?))(?=$|[.,!]| (?:and|under|at|who)\b)", needs="kid|child|boy|girl|son|daughter|lad|cat|dog|horse"),
    Rule("has", "live", r"(?:[\w' -]+? )?with (?P<value>(?:an?|two|three|four) (?:[\w-]+ )?(?:cats?|dogs?|kids|parrots?|children|rabbits?|hamsters?))\b"),
    Rule("has", "be", r"living with (?P<value>(?:an?|two|three|four|my) (?:cats?|dogs?|kids|parrots?))\b"),
    Rule("has", "upgraded downsized", rf"(?:from [\w' -]+? )?to (?:an? |the )?(?:{_BOUGHT}|(?P<value2>(?-i:[A-Z])[\w-]*(?: (?-i:[A-Z\d])[\w-]*)*)(?=$|[.,!?]| (?:last|this|and|in)\b))"),
    Rule("has", "switched traded swapped", rf"(?:in )?(?:my |our |from )*(?:an? )?[\w' -]+? (?:to|for) (?:an? |the )?{_BOUGHT}"),
    Rule("has", "switched traded swapped", r"(?:in )?(?:my |our |from )+(?:an? )?(?P<value>(?!job|jobs|major|smok)[\w'-]+(?: [\w'-]+)??) (?:to|for) (?:an? |the )?(?-i:[A-Z])", ends="value"),
    Rule("has", "switched traded swapped", r"(?:in )?(?:my |our |from )*(?:an? )?[\w' -]+? (?:to|for) an? (?P<value>(?-i:[A-Z])[\w-]*(?: (?-i:[A-Z\d])[\w-]*)*)"),
    Rule("has", "sold gave got scrapped crashed totalled wrecked ditched donated had lost", rf"(?:to sell |to give away |away |rid of |to rehome |to put (?:down )?)?(?:my|our|the|his|her) (?:old |beloved |dear |poor )?(?P<value>(?!job|facebook|instagram|twitter|tiktok|account|weight|fears?\b|doubts?\b|habit|nerves?\b|stutter|accent|keys?\b|mind\b|temper\b|way\b|soul\b)[\w' -]{{2,40}}?)(?= (?:to|away|for|on|because|and|down)\b|{_THING_END[3:]}", ends="value", check="sold"),
    Rule("has", "closed shut sold", r"(?:down |up )?(?:my|our|the) (?P<value>(?:[\w-]+ )??(?:business|bakery|shop|caf[eé]|store|farm|studio|salon|restaurant|company|startup|bar|pub|b&b|hotel|bookshop|brewery))(?=$|[.,!?]| (?:down|last|in|this|two|after|for good|because)\b)", ends="value"),
    Rule("has", "binned flogged rehomed wrote put", rf"(?:off )?(?:my|our|the) (?:old |beloved |dear |poor )?(?P<value>(?!job|kettle|bins?\b)[\w' -]{{2,30}}?)(?= (?:down|to sleep|last|on|for|in the|and|because|after|yesterday|this)\b|{_THING_END[3:]}", ends="value", check="parted with"),
    Rule("has", "not nomore", r"(?:have|own) (?:an? |the |my |any |two |three )?(?P<value>[\w' -]{2,40}?)(?=$|[.,!?;]| (?:and|or)\b)", ends="value", check="had"),
    Rule("has", "usedto", rf"(?:have|own) (?:an? |the |my |any |two |three )?{_THING}", ends="value"),
    Rule("has", "died passed ran got was", r"(?:away|stolen|totalled|totaled|wrecked|put down)?(?P<value>)(?=$|[.,!?;]| ?(?:last|in|of|this|at|on|from|after|when|two|three|a|just|earlier|today|yesterday)\b)", ends="value", fixed="who", only="pets", check="died"),
    Rule("smokes", "smoke vape", r"(?P<value>)(?=$|[.,!?]| (?:a pack|a pipe|cigars|twenty|\d+ a day|like a)\b)", fixed="head", only="author"),
    Rule("smokes", "gave quit stopped", r"(?:up )?(?:the )?(?P<value>smoking|cigarettes|vaping|tobacco|fags|ciggies|cigs|smokes)\b", ends="value"),
    Rule("smokes", "nomore", r"(?P<value>smoke|vape)(?=$|[.,!?])", ends="value"),
    Rule("smokes", "usedto", r"(?:be an? )?(?P<value>smoker|smoke)\b", ends="value"),
    Rule("takes", "came went", r"off (?:the |my )?(?P<value>[a-z]+)(?=$|[.,!?]| (?:in|last|this|and|after|because|since)\b)", ends="value", check="medicine"),
    Rule("takes", "stopped quit nomore", r"(?:be )?(?:taking|take) (?P<value>(?!the\b|a\b|it\b)[a-z]+(?:in|ine|ide|ate|am|ants?|pills|medication|meds))\b", ends="value"),
    Rule("religion", "identify", rf"as (?:an? )?(?P<value>{_words(RELIGIONS)})\b"),
    Rule("religion", "be been became", r"(?:an? )?(?P<value>jehovah's witness|seventh[- ]day adventist|latter[- ]day saint|zoroastrian|rastafarian|taoist|wiccan|jain|presbyterian|pentecostal|unitarian|mennonite|greek orthodox|russian orthodox)\b"),
    Rule("religion", "be", rf"(?:an? )?(?:devout |practising |practicing |observant |orthodox )?(?P<value>{_words(RELIGIONS)})(?=$| (?:and|so|but|by|in|now|though)\b)"),
    Rule("height", "bare", r"(?P<value>\d'\d{0,2}\"?|\d ?ft ?\d{0,2}|(?:five|six) (?:foot|feet)(?: \w+)?|1[.,]?\d\d ?(?:m|cm))$", only="author", needs="'|ft|foot|feet|m"),
    Rule("height", "be", r"(?P<value>\d ?(?:ft|foot) ?\d{1,2}|(?:five|six) (?:foot|feet) \w+)(?=$|[.,!?]| (?:and|so|tall)\b)", needs="ft|foot|feet"),
    Rule("height", "be", r"(?P<value>\d'\d{0,2}\"?|\d+(?:\.\d+)? ?(?:cm|m|centimet\w+|feet|ft|foot)(?: \d+)?(?= tall))", needs="'|tall"),
    Rule("weight", "weigh", r"(?:about |around )?(?P<value>\d+(?:\.\d+)? ?(?:kg|kilos?|lbs?|pounds|stone))"),
    Rule("pronouns", "use go", r"(?:by )?(?P<value>(?:they/them|she/her|he/him|she/they|he/they))"),
    Rule("shoe size", "bare", r"my shoe size is (?:an? )?(?:(?:uk|eu|us) )?(?P<value>\d+(?:\.\d)?)", needs="shoe"),
    Rule("wears size", "wear", r"(?:an? )?size (?P<value>\d+(?:\.\d)?)"),
    # "my … is …", with no verb that is known before it
    Rule("name", "bare", rf"(?:my )?(?:full |first |real |given |christian |legal |last |second |family |sur|nick)?name(?:'s| is|s) (?!not\b|spelled\b|pronounced\b){_NAME}"),
    Rule("name", "bare", rf"(?:(?:everyone|everybody|people|my friends|friends|most people|they all|all my friends) calls? me|(?:please |just |you can |everyone can |feel free to )*call me|the name(?:'s| is)|this is(?= (?-i:[A-Z])\w+ (?:from|here|again)\b)) {_NAME}(?![\w'-])(?! (?:when|if|at|on|after|back|in|from(?! now)|to)\b)"),
    Rule("name", "call", rf"me {_NAME}(?![\w'-])(?! (?:when|if|at|on|after|back|in|from(?! now)|to)\b)"),
    Rule("name", "bare", r"(?P<value>(?-i:[A-Z])[a-z]+) here$", check="given name", needs="here"),
    Rule("name", "changed", rf"my (?:last |sur|first )?name (?:from [\w-]+ )?to {_NAME}"),
    Rule("name", "changed", r"my (?:last |sur|first )?name from (?P<value>[\w-]+) to", ends="value"),
    Rule("comes from", "bare", rf"this is (?-i:[A-Z])\w+ from (?=(?-i:[A-Z])){_PLACE}"),
    Rule("comes from", "bare", rf"my (?:family|parents|ancestors) (?:is|are|comes?) (?:originally )?from {_PLACE}", needs="from"),
    Rule("comes from", "bare", rf"my (?:hometown|home town|home country|birthplace) is {_PLACE}", needs="town|country|birthplace"),
    Rule("lives in", "bare", rf"(?:my|our) (?:flat|apartment|house|place|home|home city|current city) is (?:now )?(?:in |near |at )?(?:the )?{_PLACE}", check="place", needs="flat|apartment|house|place|home|city"),
    Rule("lives in", "bare", rf"greetings from {_PLACE}"),
    Rule("native language", "bare", rf"(?:my )?(?:native language|mother tongue|first language|native tongue)(?:'s| is|:)? (?P<value>{_LANGUAGE})\b", needs="language|tongue"),
    Rule("native language", "bare", rf"(?P<value>{_LANGUAGE}) is my (?:native language|mother tongue|first language|native tongue)"),
    Rule("works as", "bare", rf"my (?:job|profession|occupation|job title|day job) is (?:being |an? )*{_PLACE}", needs="job|profession|occupation"),
    Rule("illness", "bare", rf"my (?P<value>{_ILLNESS})(?=$|'s\b| (?:is|are|was|makes?|has|have|means|acts?|flares?|got|gets|keeps|plays?|came|won't|doesn't|don't|can)\b)", check="ill"),
    Rule("illness", "bare", r"my (?P<value>knees?|back|hips?|eyesight|hearing|shoulders?|lungs|heart|stomach|thyroid|joints|vision)(?: is| are|'s) (?:really |pretty |so |completely )?(?:bad|shot|knackered|terrible|awful|ruined|gone|going|wrecked|weak|failing|poor)\b"),
    Rule("illness", "was", r"born (?P<value>deaf|blind|with [\w' -]{4,40}?)(?=$|[.,!?]| (?:and|so|but)\b)"),
    Rule("takes", "bare", r"my (?P<value>[a-z]+)(?= (?:is|are|makes?|has|was|isn't|ran|needs?|dose|prescription|keeps?|gives?)\b)", check="medicine"),
    Rule("illness", "bare", r"my (?P<value>blood pressure|cholesterol|blood sugar)(?:'s| is| has| was)? (?:been |come back |came back )?(?:really |very |a bit |too )?(?:high|up|through the roof|low|sky-high|borderline|terrible|bad)\b", needs="blood|cholest"),
    Rule("allergic to", "bare", rf"my allerg(?:y|ies)(?: is| are) (?:to )?{_VALUE}", needs="allerg"),
    Rule("birthday", "bare", rf"(?:my )?(?:birthday|bday|b-day|date of birth|dob)(?:'s| is)?(?: on| in)? ?(?P<value>(?:the )?\d[^.!?()]{{0,20}}?|(?:the )?(?:\w+ of )?{_MONTH}\b[^.!?]{{0,12}}?|(?-i:[A-Z])[\w' ]+?)(?=$|\s*[.!?,])", needs="day|date|dob"),
    Rule("anniversary", "bare", r"(?:my|our) (?:wedding )?anniversary is (?:on )?(?P<value>[^.!?]{3,20})$", needs="anniversary"),
    Rule("wedding", "bare", r"(?:my|our) wedding(?: is|'s) (?:on |in )?(?P<value>[^.!?]*\d[^.!?]{0,15}|(?:next )?\w+)$", needs="wedding"),
    Rule("exam", "bare", r"my (?:final )?(?:exam|exams) (?:is|are) (?:on |in )?(?P<value>[^.!?]{3,20})$", needs="exam"),
    Rule("email", "bare", r"my (?:e-?mail)(?: address)? is (?P<value>\S+@\S+\w)", needs="mail"),
    Rule("number", "bare", r"my (?:phone |mobile |cell )?(?:number|phone) is (?P<value>[+\d(][\d ()-]{4,})", needs="number|phone"),
    Rule("address", "bare", r"(?:my |our )?(?:new |home |current )?address (?:is )?(?P<value>\d[^!?]{4,60}|[^!?]{3,40}\d[^!?]{0,20})$", needs="address"),
    Rule("timezone", "be bare", r"(?:in |on )(?:the )?(?P<value>(?:utc|gmt) ?[+-]\d{1,2}|(?:utc|gmt|cet|cest|est|edt|cst|pst|pdt|mst|ist|jst|aest|bst)(?= time|$)|(?:central european|eastern|pacific|mountain|central|moscow|india|japan|alaska)(?= time))(?: time)?(?: ?zone)?\b", only="author"),
    Rule("timezone", "bare", r"my time ?zone is (?P<value>[^.!?]{2,30})$", needs="zone"),
    Rule("blood type", "bare", r"my blood (?:type|group) is (?P<value>[^.!?]{1,20})$", needs="blood"),
    Rule("star sign", "bare", r"my (?:star|zodiac) ?sign is (?P<value>\w+)", needs="sign"),
    Rule("star sign", "be", r"an? (?P<value>aries|taurus|gemini|leo|virgo|libra|scorpio|sagittarius|capricorn|aquarius|pisces)\b"),
    Rule("pronouns", "bare", r"my pronouns are (?P<value>[^.!?]+)$", needs="pronouns"),
    Rule("height", "bare", r"my height is (?P<value>[^.!?]+)$", needs="height"),
    Rule("hobby", "bare", rf"my (?:main |favou?rite )?(?:hobby|hobbies|pastimes?) (?:is|are|includes?) {_VALUE}"),
    Rule("wants", "bare", rf"my (?:dream|goal|ambition) is (?:to )?{_VALUE}"),
    Rule("has", "bare", r"my (?:(?:new|current|old|daily|first) )?(?:car|bike|laptop|phone|truck|guitar|computer) is an? (?P<value>[^.!?,]{3,40}?)(?=$|\s*[.!?,]| which)"),
    Rule("has", "bare", r"(?:my|the|our) (?P<value>twins|kids|boys|girls|dogs|cats) (?:start|starts|are|go|love|just|will)\b"),
    Rule("is called", "bare", rf"(?:we |i )?named (?:my|our) {_KIN_ONE} (?P<value>[^\W\d_][\w'-]*)"),
    Rule("diet", "bare", rf"as (?:an? )?{_DIET}$"),
    Rule("favourite author", "bare", r"(?P<value>(?-i:[A-Z])[\w' ]+) is my (?:all[- ]time )?favourite(?: author| writer)$", needs="favourite"),
)  # fmt: skip
_BY_HEAD = RulesByHead(RULES)


def english_findings(clause: Clause) -> Iterator[Found]:
    """What a clause may state, by the order of the rules."""
    head, _, rest = clause.said.partition(" ")
    head = head.lower()
    for tried in _BY_HEAD.at_the_beginning(head, rest):
        if match := tried.pattern.match(rest):
            yield Found(tried.rule, match, head, clause)
