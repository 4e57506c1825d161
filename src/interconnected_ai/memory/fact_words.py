"""Words that the rules for facts know: kin, professions, languages, illnesses, and values that say nothing."""

# Kin and the like, and who they are called in facts: Russian ones in the nominative.
KIN = frozenset(
    "wife husband son daughter mother mom mum father dad brother sister friend girlfriend boyfriend partner fiancé fiancée fiance "
    "parents boss manager colleague coworker dog cat pet puppy kitten horse parrot roommate flatmate neighbor neighbour teacher doctor "
    "grandmother grandma grandfather grandpa uncle aunt cousin nephew niece company team project startup kid child baby".split()
)
KIN_RU = {
    form: forms.split()[0]
    for forms in (
        "жена жену жены жене", "муж мужа мужу", "сын сына сыну сынок", "дочь дочку дочка дочери", "мама маму мамы маме мать",
        "папа папу папы папе отец отца", "брат брата брату", "сестра сестру сестры сестре", "друг друга другу", "подруга подругу",
        "собака собаку пёс пса пес собаки", "кот кота коту", "кошка кошку кошки", "начальник начальника", "коллега коллегу",
        "врач врача", "бабушка бабушку бабушки", "дедушка дедушку дед деда", "дядя дядю", "тётя тётю тетя тетю", "девушка девушку",
        "парень парня", "племянник племянника", "племянница племянницу", "сосед соседа", "соседка соседку", "попугай попугая",
        "щенок щенка", "котёнок котёнка котенок котенка", "хомяк хомяка", "компания компанию", "проект проекта", "команда команду",
        "родители родителей", "жених жениха", "невеста невесту", "внук внука", "внучка внучку", "тренер тренера", "ребёнок ребёнка ребенок ребенка",
    )
    for form in forms.split()
}  # fmt: skip

PROFESSIONS = (
    "accountant actor actress administrator analyst anesthesiologist architect artist astronomer attorney baker barber barista "
    "bartender biologist blacksmith bookkeeper bricklayer butcher carpenter cashier chef chemist chiropractor cleaner coach "
    "consultant cook copywriter dancer dentist designer developer dietitian director doctor dj driver economist editor electrician "
    "engineer entrepreneur estate agent farmer firefighter fisherman florist freelancer gardener geologist guide hairdresser "
    "historian housewife illustrator interpreter investigator janitor jeweller journalist judge lawyer lecturer librarian "
    "lifeguard locksmith manager marketer mathematician mechanic midwife miner model musician nanny notary novelist nurse nutritionist "
    "optician painter paramedic pastor pediatrician pharmacist photographer physician physicist physiotherapist pianist pilot plumber "
    "poet policeman politician postman priest principal producer professor programmer psychiatrist psychologist radiologist realtor "
    "receptionist recruiter reporter researcher sailor salesman scientist sculptor secretary singer social worker soldier "
    "statistician student surgeon surveyor tailor tattoo artist taxi driver teacher technician therapist trader trainer translator "
    "truck driver tutor undertaker vet veterinarian waiter waitress welder writer zoologist paralegal beekeeper sommelier "
    "carer caretaker officer clerk retiree pensioner tester"
)
PROFESSIONS_RU = (
    "бухгалтер актёр актер актриса аналитик архитектор художник художница адвокат пекарь парикмахер бариста бармен биолог библиотекарь "
    "столяр плотник кассир повар химик тренер консультант копирайтер танцор стоматолог дизайнер разработчик диетолог директор врач доктор "
    "водитель экономист редактор электрик инженер предприниматель фермер пожарный флорист фрилансер садовник геолог гид журналист "
    "журналистка историк иллюстратор переводчик переводчица следователь ювелир судья юрист преподаватель преподавательница менеджер маркетолог математик механик акушерка "
    "шахтёр музыкант няня нотариус медсестра медбрат фармацевт аптекарь фотограф физик пианист лётчик пилот сантехник поэт полицейский психиатр психолог "
    "рентгенолог риелтор риэлтор рекрутер репортёр исследователь моряк продавец учёный скульптор секретарь певец певица солдат студент студентка хирург "
    "портной таксист учитель учительница техник терапевт трейдер переплётчик репетитор ветеринар официант официантка сварщик писатель писательница "
    "программист программистка тестировщик тестировщица воспитатель воспитательница логист курьер сторож охранник пенсионер пенсионерка педиатр акушер агроном "
    "машинист слесарь токарь швея косметолог массажист логопед социолог философ филолог лингвист юрисконсульт режиссёр оператор монтажёр сисадмин системный администратор"
)  # fmt: skip
ILLNESSES = (
    "diabetes asthma migraines migraine epilepsy adhd add anxiety depression arthritis celiac coeliac hypertension insomnia eczema "
    "psoriasis anemia anaemia cancer scoliosis hypothyroidism dyslexia autism ibs gout lupus tinnitus psoriasis hepatitis fibromyalgia "
    "osteoporosis glaucoma crohn's parkinson's pcos endometriosis high\\s+blood\\s+pressure sleep\\s+apnea bipolar\\s+disorder "
    "a\\s+heart\\s+condition"
)
ILLNESSES_RU = (
    "диабет астма мигрень мигрени эпилепсия сдвг депрессия артрит целиакия гипертония бессонница экзема псориаз анемия гастрит сколиоз "
    "гипотиреоз дислексия подагра гепатит близорукость дальтонизм артроз язва тахикардия аритмия остеохондроз тонзиллит гайморит бронхит "
    "пневмония"
)
LANGUAGES = (
    "english russian german french spanish italian portuguese dutch polish czech ukrainian turkish arabic hebrew hindi urdu bengali "
    "mandarin chinese cantonese japanese korean vietnamese thai greek swedish norwegian danish finnish hungarian romanian bulgarian "
    "serbian croatian georgian armenian kazakh persian farsi swahili latin esperanto icelandic estonian latvian lithuanian catalan "
    "welsh irish tatar indonesian malay tagalog"
)

# What may follow "I have a …" without being anything that somebody has.
_NO_POSSESSIONS = (
    "question questions problem problems issue issues idea ideas meeting meetings feeling look time times few lot bit couple doubt "
    "hunch plan plans point request favor favour chance choice reason suggestion headache cold fever call date deadline appointment "
    "interview exam test right hard task bug error lead dream secret story theory concern complaint problem mind clue habit preference "
    "hangover trip flight conference presentation class lesson blast crush deal hope goal list day days week weeks weekend hour hours "
    "minute minutes month months year years thing things word text file table function variable string query code document paragraph "
    "sentence email message draft option options sense taste spot fear love passion desire weakness urge knack talent opinion view "
    "rule policy gut friend friends colleague colleagues client clients customer customers user users boss bus train plane taxi "
    "throat ache pain flu injury promotion raise refund ticket tickets haircut letter reply answer response warning chat say"
)
_NO_POSSESSIONS_RU = (
    "вопрос вопросы проблема проблемы идея идеи время минута минутка план планы просьба предложение сомнения сомнение задача "
    "ощущение мысль мысли подозрение шанс выбор возможность желание надежда текст файл код ошибка таблица функция мечта ты тут "
    "встреча дела дело день неделя час пара несколько право причина повод доступ тайна секрет мнение история друг друзья знакомый "
    "знакомая знакомые коллега клиент клиенты чувство страх"
)
NO_POSSESSIONS = frozenset(f"{_NO_POSSESSIONS} {_NO_POSSESSIONS_RU}".split())
# Values that point at something said elsewhere, or at nothing.
EMPTY_VALUES = frozenset(
    "it that this them him her you to do so one not all there here these those everything nothing something anything both me us "
    "это меня мне нас нам себя его её ее их тебя вас так всё все тут там здесь ничего что-то нечто вам тебе этого этому тех этих которых".split()
)
# Beginnings of values that are about the talk, or a clause: "I like how …", "I love your idea".
EMPTY_BEGINNINGS = frozenset(
    "your you it this that these those them him her how what when where why who if whether everything anything nothing one "
    "as such hearing and or but in at on of with i we he she they "
    "твой твоя твоё твою твои ваш ваша вашу ваше ваши это этот эта эту эти то как когда что где тебя вас его её ее их если всё все "
    "так такой такая такую такое такие чтобы".split()
)
NOT_PLACES = frozenset(
    "fear hope peace denial moment past present future dream bubble world harmony sin luxury poverty night home work least most "
    "python rust java javascript typescript kubernetes aws azure gcp jira linear slack linux windows macos github gitlab postgres "
    "mysql excel docker notion teams production staging "
    "evening evenings morning mornings afternoon afternoons background silence bursts batches teams pairs "
    "all ease times weekends weekend day once constant total interesting shadow middle "
    "страхе мире мечтах прошлом настоящем удовольствие долг кредит бедности роскоши ожидании кайф удаленке удалёнке выходных "
    "двух минуте шаге рубашке офис свободное две смену смены ночь ночную выходные праздники ночам износ пределе режиме паре команде совесть себя результат пользу условиях пятницу субботу воскресенье понедельник вторник среду четверг "
    "этой этом таких такой неделе месяце году".split()
)
NOT_NAMES = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday january february march april june july august september october "
    "november december crazy back later tomorrow today tonight when if after before maybe on in at a an the not old cynical whatever "
    "out up over through right next first soon during between once only immediately directly american canadian british australian german french italian spanish russian irish scottish dutch polish indian chinese japanese "
    "korean jewish catholic muslim christian buddhist vegan anytime any now again asap names biased naive paranoid by for and or so well also often hard mud spelled misspelled missing "
    "written pronounced too please never always stupid lazy picky weird selfish skeptical sceptical sure fine sorry glad happy "
    "в на не и а но за по к с все всё друзья обедать есть гулять работать домой туда сюда замуж начальник учиться иногда часто".split()
)
# Tastes of the talk itself: "I hate to say this", "I like the idea".
IDLE_ACTIONS = frozenset("say bother ask admit interrupt break disappoint think be complain hear point".split())
IDLE_OBJECTS = frozenset(
    "idea ideas plan approach sound way look thought fact part bit answer answers suggestion suggestions version option second "
    "draft output result response vibe tone style concept direction "
    "идея идею вариант план ответ подход текст предложение".split()
)
NO_ALLERGENS = frozenset(
    "nonsense mornings work mondays stupidity drama bullshit meetings работу глупость понедельники".split()
)
NOT_FOOD = frozenset(
    "much enough well here lunch breakfast dinner out anything at after before a many после до утром вечером дома на с уже совсем "
    "много мало весь целый почти больше вообще за по в при один одна без никогда сегодня".split()
)
# Places without a name of their own.
PLACE_WORDS = frozenset(
    "town village farm city suburb suburbs countryside coast mountains island region capital outskirts center centre north south "
    "east west us usa uk netherlands philippines states emirates bay midwest caribbean balkans hague bahamas bronx "
    "деревни деревня деревне поселка села селе города городка городе городке глубинки провинции столицы столице пригорода пригороде "
    "области края".split()
)
