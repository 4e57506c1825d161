"""Words that the rules for facts know: kin, professions, languages, illnesses, and values that say nothing."""

# Kin and the like, and who they are called in facts: Russian ones in the nominative.
PETS = frozenset(
    "dog cat puppy kitten horse pony parrot hamster rabbit budgie beagle labrador poodle husky greyhound terrier corgi bulldog retriever "
    "pup kitty labradoodle cockapoo chihuahua whippet collie spaniel pug dachshund goldfish turtle tortoise guinea ferret lizard snake "
    "пудель шпиц мопс бигль чихуахуа йорк шиншилла канарейка собака кот кошка попугай щенок котёнок хомяк лабрадор овчарка такса хаски корги кролик черепаха крыса лошадь".split()
)
MALE_KIN = frozenset(
    "husband son father dad brother boyfriend grandfather grandpa granddad grandad uncle nephew grandson stepdad stepfather stepson godfather "
    "fiancé hubby papa муж сын папа брат друг дедушка дядя парень племянник сосед жених внук тренер зять тесть отчим кузен свёкор начальник "
    "прадед".split()
)
FEMALE_KIN = frozenset(
    "wife daughter mother mom mum mommy mama sister girlfriend grandmother grandma gran granny nan nana aunt auntie niece granddaughter stepmom stepmum "
    "stepmother stepdaughter godmother fiancée жена дочь мама сестра подруга бабушка тётя девушка племянница соседка невеста внучка "
    "начальница кузина тёща свекровь мачеха прабабушка".split()
)
KIN = frozenset(
    "partner friend mate fiance ex parents boss manager supervisor colleague coworker roommate flatmate housemate neighbor neighbour teacher "
    "doctor therapist landlord cousin twin sibling siblings company team project startup kid kids child children baby toddler twins brothers sisters sons daughters "
    "grandparents dogs cats in-laws pet spouse bestie mentor tutor coach".split()
) | frozenset(word for word in MALE_KIN | FEMALE_KIN | PETS if word.isascii() or "é" in word)
KIN_RU = {
    form: forms.split()[0]
    for forms in (
        "жена жену жены жене женой", "муж мужа мужу мужем супруг муженёк", "сын сына сыну сынок сынишка сыном сынишке сынуля", "дочь дочку дочка дочери дочки дочке дочурка дочкой доча дочу доче дочуля",
        "мама маму мамы маме мать матери мамой матушка мамуля", "папа папу папы папе отец отца отцу папой отцом батя", "брат брата брату братом братишка братишки братишке",
        "сестра сестру сестры сестре сестрой сестрёнка сестренка сестрёнки сестренки сестрёнке сестренке", "друг друга другу другом", "подруга подругу подруги подруге подружка подружки подружке подружку",
        "собака собаку собаки собаке пёс пса пес псу псом пёсель псина собачка собачку собачки собачке пёсик песик пёсика песика", "кот кота коту котом котик котика котейка котяра", "кошка кошку кошки кошке кошечка кошечку", "начальник начальника начальнику шеф",
        "начальница начальницу начальницы", "коллега коллегу коллеги коллеге", "врач врача", "бабушка бабушку бабушки бабушке бабуля бабули бабуле бабулю бабка",
        "дедушка дедушку дед деда деду дедушке дедушки дедушкой дедуля дедули", "дядя дядю дяди дяде", "тётя тётю тети тётя тётки тётка тетя тетю тёти тёте", "девушка девушку девушки девушке девушкой",
        "парень парня парню парнем", "племянник племянника племяннику племянником племяш племяша", "племянница племянницу племяннице племянницы племянницей племяшка племяшку племяшки", "сосед соседа соседу", "соседка соседку соседки соседке",
        "попугай попугая попугаю", "щенок щенка щенку щеночек щеночка", "котёнок котёнка котенок котенка", "хомяк хомяка", "компания компанию", "проект проекта",
        "команда команду", "родители родителей родителям", "жених жениха", "невеста невесту невесты", "внук внука внуку внуком внучок", "внучка внучку внучке внучки внучкой внученька",
        "тренер тренера", "ребёнок ребёнка ребенок ребенка ребёнку ребенку", "дети детей детям", "зять зятя зятю", "тесть тестя тестю", "отчим отчима", "мачеха мачехи",
        "тёща тёщи тёще тёщу тёщей теща тещи", "свекровь свекрови свекровью", "свёкор свёкра", "кузина кузину кузины", "кузен кузена", "лабрадор лабрадора", "овчарка овчарку овчарки",
        "крыса крысу", "черепаха черепаху", "кролик кролика", "прадед прадеда", "крёстный крестный крёстного крестного", "крёстная крестная крёстную крестную", "невестка невестку невестки", "сноха сноху", "шурин шурина",
        "близняшки близнецы близнецам", "близнец близнеца", "прабабушка прабабушку прабабушке прабабушки", "лошадь лошади", "пасынок пасынка пасынку", "падчерица падчерицу падчерице падчерицы", "крестник крестника", "крестница крестницу",
        "одногруппник одногруппника", "одногруппница одногруппницу", "однокурсник однокурсника", "однокурсница однокурсницу", "одноклассник одноклассника", "одноклассница одноклассницу",
        "приятель приятеля приятелю", "приятельница приятельницу", "корги", "такса таксу таксе таксы", "хаски", "пудель пуделя", "шпиц шпица", "мопс мопса", "бигль бигля", "чихуахуа", "йорк йорка",
        "шиншилла шиншиллу", "канарейка канарейку",
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
    "carer caretaker officer clerk retiree pensioner tester chauffeur conductor courier dispatcher detective diver doorman chaplain "
    "handyman janitress joiner landscaper machinist masseuse matron orderly pathologist plasterer porter roofer steward stewardess "
    "supervisor technologist trucker usher warehouse\\s+worker dev coder programmer admin sysadmin ceo cto founder co-founder owner "
    "freelance blogger streamer youtuber vlogger influencer stylist therapist theologian dentist docent postdoc apprentice intern "
    "guard guide sergeant marine soldier officer cop chef baker candlemaker potter weaver farmhand vintner brewer rancher shepherd "
    "banker broker actuary auditor consultant negotiator notary assistant teller underwriter copyeditor proofreader ghostwriter dietician "
    "researcher astronaut astrophysicist geneticist botanist chemist neurologist cardiologist oncologist dermatologist anaesthetist podiatrist "
    "postie copper brickie sparky childminder scaffolder groundworker beautician solicitor barrister conveyancer magistrate radiographer sonographer phlebotomist "
    "audiologist physio chiropodist actuary underwriter dog\\s+groomer dog\\s+walker nail\\s+technician care\\s+assistant teaching\\s+assistant support\\s+worker letting\\s+agent "
    "estate\\s+agent quantity\\s+surveyor product\\s+owner scrum\\s+master project\\s+manager data\\s+analyst call\\s+handler sous\\s+chef pastry\\s+chef barrister glazier "
    "plasterer tiler decorator cabinetmaker upholsterer seamstress cobbler farrier groom jockey cabbie trucker bouncer croupier barmaid barman landlord publican "
    "monk nun rabbi imam vicar bishop deacon missionary roadie stuntman stuntwoman embalmer taxidermist falconer ranger forester stonemason thatcher saddler luthier distiller "
    "winemaker cheesemaker fishmonger greengrocer bookseller bookbinder archivist curator lobbyist diplomat councillor mayor civil\\s+servant lorry\\s+driver "
    "gp rn lpn cna emt cpa paediatrician gynaecologist team\\s+lead tech\\s+lead team\\s+leader shift\\s+leader head\\s+chef line\\s+manager postwoman policewoman fireman dinner\\s+lady lollipop\\s+lady childcare\\s+worker bus\\s+driver "
    "optometrist osteopath acupuncturist homemaker housekeeper nanny au\\s+pair babysitter"
)
# How names of professions end, where the list does not know them, and what ends so and is none.
ENGLISH_JOB_ENDINGS = "ologist|ician|wright|smith|keeper|maker|worker|grapher|master|writer|tologist|ineer|yer|nurse|teacher|driver|setter|fitter|layer|monger|ist|er|or|ant"
NO_JOBS = (
    "mother father brother sister daughter lover believer dreamer smoker non-smoker drinker gamer beginner starter member winner loser sucker stranger "
    "foreigner newcomer outsider insider user customer number hater fighter survivor thinker learner sleeper follower walker talker joker monster "
    "optimist pessimist realist atheist perfectionist feminist minimalist racist tourist buddhist baptist methodist riser supporter subscriber donor minor senior "
    "junior visitor teenager toddler grandmother grandfather leader reader listener speaker partner neighbor neighbour passenger prisoner "
    "resident immigrant expat extrovert introvert better bigger older younger former other another ever never over under after river order paper water "
    "letter power summer winter october november december september however rather together whether either neither super cancer twitter doctor-in father-to-be elder center corner "
    "quaker messenger middleman eater hipster procrastinator overthinker sinner runner swimmer climber cyclist hiker skier surfer traveler traveller lurker newbie owner commuter vegetarian "
    "stoner rocker bachelor ancestor successor predecessor competitor debtor minister-to-be participant applicant claimant elephant giant "
    "masters master's bachelors redundant plant infant important distant instant pregnant constant tolerant intolerant allergic sweater later her quarter computer folder offer matter poor nor or error mirror colour color major "
    "pragmatist completionist purist pacifist nihilist anarchist socialist communist capitalist nationalist monarchist environmentalist activist hedonist masochist narcissist egoist nudist naturist "
    "traditionalist opportunist idealist fatalist rationalist antagonist protagonist hobbyist specialist survivalist egotist elitist sexist loyalist royalist "
    "factor actor-like mayor-like doer quitter keeper taker giver liar mister sir finder helper maker bit-player night-owl"
)
PROFESSIONS_RU = (
    "разраб программер кодер девопс тестер верстальщик фронтендер бэкендер гейм-дизайнер продакт проджект сммщик таргетолог маркетолог эйчар хэдхантер "
    "крановщик дальнобойщик фельдшер пекарь кондитер мастер прораб каменщик маляр штукатур кровельщик монтажник наладчик оператор кладовщик грузчик упаковщик "
    "комплектовщик кассирша продавщица консьерж вахтёр уборщица дворник горничная администратор портье бармен сомелье кинолог конюх лесник егерь рыбак пчеловод "
    "лаборант лаборантка микробиолог генетик астроном астрофизик эколог океанолог метеоролог картограф геодезист маркшейдер нефтяник буровик металлург "
    "технолог конструктор проектировщик строитель сметчик инспектор ревизор аудитор оценщик страховщик брокер банкир финансист казначей экономистка "
    "прокурор помощник ассистент секретарша делопроизводитель архивариус библиотекарша музейщик искусствовед реставратор экскурсовод гид стюардесса "
    "бортпроводник бортпроводница штурман капитан боцман матрос военный офицер прапорщик контрактник спасатель кочегар сапёр снайпер "
    "хореограф балерина тренерша инструктор фитнес-тренер спортсмен судмедэксперт санитар санитарка анестезиолог кардиолог невролог дерматолог "
    "окулист офтальмолог гинеколог уролог онколог рентгенлаборант провизор дефектолог методист завуч декан доцент профессор аспирант аспирантка "
    "блогер стример видеограф звукорежиссёр сценарист сценаристка драматург композитор дирижёр скрипач скрипачка пианистка гитарист барабанщик вокалист диджей "
    "модель стилист визажист бровист барбер маникюрша гендиректор замдиректора управляющий управляющая основатель владелец владелица предпринимательница "
    "бизнесмен ипэшник патентовед товаровед закупщик сборщик сборщица ткач ткачиха закройщица скорняк гончар кузнец ветеринарка дрессировщик шахтер домохозяйка "
    "разнорабочий разнорабочая подсобник мойщик автомойщик автомеханик автослесарь крупье швейцар гардеробщица посудомойщица мойщица вожатый "
    "няня сиделка соцработник реабилитолог остеопат нутрициолог логист товаровед мерчендайзер супервайзер промоутер риэлтор кинооператор монтажёр осветитель гримёр костюмер "
    "саунд-дизайнер промпт-инженер дата-аналитик датасаентист аналитик девопс скрам-мастер эколог агроном зоотехник лесничий лесоруб вальщик стропаль "
    "айтишник айтишница начальник начальница заведующий заведующая руководитель бригадир командир госслужащий госслужащая чиновник чиновница служащий служащая спецназовец омоновец полицейская портниха учительница воспитательница студент акушерка диспетчер таксистка водительница машинистка нейробиолог биоинженер рабочий рабочая "
    "доярка агротехник механизатор тракторист комбайнёр электромонтёр электрогазосварщик стропальщик сантехник "
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
    "stammer lisp ulcer shingles hernia emphysema cirrhosis angina lymphoedema oedema gallstones neuropathy retinopathy cataracts cataract diabetes asthma migraines migraine epilepsy adhd add anxiety depression arthritis celiac coeliac hypertension insomnia eczema "
    "psoriasis anemia anaemia cancer scoliosis hypothyroidism dyslexia autism ibs gout lupus tinnitus psoriasis hepatitis fibromyalgia "
    "osteoporosis glaucoma crohn's parkinson's pcos endometriosis high\\s+blood\\s+pressure sleep\\s+apnea bipolar\\s+disorder "
    "a\\s+heart\\s+condition ocd ptsd copd stutter endometriosis hyperthyroidism hashimoto's alzheimer's dementia narcolepsy vertigo rosacea sciatica schizophrenia anorexia bulimia stroke leukemia leukaemia lymphoma tuberculosis hiv bronchitis pneumonia prediabetes celiac\\s+disease ms"
)
ILLNESSES_RU = (
    "диабет астма мигрень мигрени эпилепсия сдвг депрессия артрит целиакия гипертония бессонница экзема псориаз анемия гастрит сколиоз "
    "гипотиреоз дислексия подагра гепатит близорукость дальтонизм артроз язва тахикардия аритмия остеохондроз тонзиллит гайморит бронхит "
    "пневмония поллиноз преддиабет стенокардия волчанка анорексия булимия биполярка панкреатит холецистит катаракта глаукома варикоз геморрой простатит эндометриоз бронхоэктазия невралгия радикулит "
    "деменция лейкоз лимфома меланома миома мастопатия поликистоз цистит пиелонефрит колит рефлюкс тромбоз флебит гипотония аутизм шизофрения апноэ "
    "нарколепсия глухота тугоухость косоглазие астигматизм дальнозоркость плоскостопие бурсит остеопороз туберкулёз туберкулез цирроз малокровие гемофилия "
    "лейкемия розацеа витилиго дерматит нейродермит диатез крапивница лишай ожирение тиреоидит гипертиреоз аденома аппендицит дисбактериоз муковисцидоз "
    "паркинсонизм альцгеймер паркинсон катаракта глаукома заикание афазия плеврит трахеит ларингит отит синусит фарингит аденоиды стеноз порфирия саркоидоз"
)
LANGUAGES = (
    "english russian german french spanish italian portuguese dutch polish czech ukrainian turkish arabic hebrew hindi urdu bengali "
    "mandarin chinese cantonese japanese korean vietnamese thai greek swedish norwegian danish finnish hungarian romanian bulgarian "
    "serbian croatian georgian armenian kazakh persian farsi swahili latin esperanto icelandic estonian latvian lithuanian catalan "
    "welsh irish tatar indonesian malay tagalog tamil telugu marathi gujarati punjabi malayalam kannada sinhala nepali burmese khmer lao mongolian uzbek azerbaijani "
    "albanian macedonian slovak slovene bosnian afrikaans zulu xhosa yoruba igbo hausa amharic somali pashto kurdish gaelic basque galician maltese yiddish belarusian "
    "breton cornish manx occitan frisian faroese luxembourgish romani tibetan uyghur sindhi assamese tigrinya oromo lingala wolof twi shona kinyarwanda malagasy javanese sundanese cebuano "
    "hmong quechua guarani nahuatl maori samoan kyrgyz turkmen tajik dari hokkien hakka chechen ossetian bashkir chuvash patois"
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
    "session sessions role roles review reviews implementation structure structures triangle triangles critique critiques limit total schedule scheduled "
    "rescheduled planned one hike impact influence effect eye opportunity opportunities interest interests background understanding experience knowledge budget "
    "setup version feature features system app website site form dataset model sample chapter subplot outline number set series variety range type kind "
    "sort way need duty part party dinner lunch breakfast drink nap shower vacation holiday break chat talk debate argument fight tendency stuff smile "
    "blast good great fun amazing nice peer project projects score result results value values memory memories idea tradition role update "
    "scenario sequence process step steps reaction hunch respect faith trust confidence support success luck money cash fund funds control power "
    "back backs thyroid eyesight allergy allergies appointment mistakes mistake knee knees leg arm shoulder hip neck ankle wrist foot tooth stomach "
    "payment payments charge charges fee fees transaction transactions transfer withdrawal debit deposit statement card cards account accounts cheque check top-up bone leak essay "
    "reservation picture sources recipe feet purchase purchases copies copy landlord payslip "
    "kidney lung hand finger throat ache pain flu injury promotion raise refund ticket tickets haircut letter reply answer response warning chat say"
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
    "summer winter spring autumn number zoom man woman guy bloke lady person people somebody place building same pace pyjamas pajamas shape touch toast bed trouble debt style comfort chaos limbo hotels airbnbs hostels leave "
    "jeans hoodies leggings sweatpants scrubs address account file queue line meetings meeting traffic holiday vacation "
    "all ease times weekends weekend day once constant total interesting shadow middle "
    "страхе мире мечтах прошлом настоящем удовольствие долг кредит бедности роскоши ожидании кайф удаленке удалёнке выходных "
    "двух минуте шаге рубашке офис свободное две смену смены ночь ночную выходные праздники ночам износ пределе режиме паре команде совесть себя результат пользу условиях пятницу субботу воскресенье понедельник вторник среду четверг "
    "этой этом таких такой неделе месяце году".split()
)
NOT_NAMES = frozenset(
    "going gonna old-fashioned naive cautious fussy boring superstitious gen same looky look newbie noob beginner student mom dad mum anybody anyone someone everybody monday tuesday wednesday thursday friday saturday sunday january february march april june july august september october "
    "november december crazy back later tomorrow today tonight when if after before maybe on in at a an the not old cynical whatever "
    "out up over through right next first soon during between once only immediately directly american canadian british australian german french italian spanish russian irish scottish dutch polish indian chinese japanese "
    "korean jewish catholic muslim christian buddhist vegan anytime any now again asap names biased naive paranoid by for and or so well also often hard mud spelled misspelled missing "
    "written pronounced too please never always stupid lazy picky weird selfish skeptical sceptical sure fine sorry glad happy "
    "редко всегда никогда куда везде в на не и а но за по к с все всё друзья обедать есть гулять работать домой туда сюда замуж начальник учиться иногда часто".split()
)
# Tastes of the talk itself: "I hate to say this", "I like the idea".
IDLE_ACTIONS = frozenset(
    "спорить жаловаться признавать беспокоить argue say bother ask admit interrupt break disappoint think be complain hear point".split()
)
IDLE_OBJECTS = frozenset(
    "idea ideas plan approach sound way look thought fact part bit answer answers suggestion suggestions version option second "
    "quote photo photos pic pics picture pictures shot post chats chat conversation conversations talks draft output result response vibe tone style concept direction "
    "идея идею вариант план ответ подход текст предложение версия версию версии беседы ход мысли мыслей баг стиль тон".split()
)
NO_ALLERGENS = frozenset(
    "nonsense mornings work mondays stupidity drama bullshit meetings работу глупость понедельники".split()
)
NOT_FOOD = frozenset(
    "right up much enough well here lunch breakfast dinner out anything at after before a many после до утром вечером дома на с уже совсем "
    "много мало весь целый почти больше вообще за по в при один одна без никогда сегодня".split()
)
# Places without a name of their own.
PLACE_WORDS = frozenset(
    "town village farm city suburb suburbs countryside coast mountains island region capital outskirts center centre north south "
    "east west us usa uk netherlands philippines states emirates bay midwest caribbean balkans hague bahamas bronx "
    "деревни деревня деревне поселка села селе города городка городе городке глубинки провинции столицы столице пригорода пригороде "
    "области края".split()
)

# Russian endings of professions that the list does not know, and what ends so and is none.
RUSSIAN_JOB_ENDINGS = (
    "щик",
    "щица",
    "чик",
    "лог",
    "граф",
    "тель",
    "тельница",
    "ист",
    "истка",
    "вод",
    "вед",
    "тор",
    "нер",
    "мейкер",
    "менеджер",
)
NO_JOBS_RU = frozenset(
    "мальчик любитель любительница зритель житель родитель читатель слушатель посетитель свидетель свидетельница аутист аутистка пользователь обитатель потребитель избиратель победитель "
    "покупатель оптимист пессимист реалист перфекционист атеист коммунист фашист эгоист турист диалог каталог монолог аналог процент гражданин автор вектор монитор "
    "доброжелатель предатель мечтатель спаситель свидетель двигатель показатель выключатель холодильник понедельник завод народ вывод повод развод "
    "параграф телеграф фотограф-любитель буддист обитательница жительница атеистка оптимистка пессимистка перфекционистка реалистка феминистка эгоистка туристка коммунистка фашистка буддистка баптистка баптист феминист минималист минималистка".split()
)
NUMBERS_RU = frozenset(
    "один одна два две три четыре пять шесть семь восемь девять десять одиннадцать двенадцать тринадцать четырнадцать пятнадцать шестнадцать "
    "семнадцать восемнадцать девятнадцать двадцать тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто".split()
)
NATIONALITIES = (
    "american british english scottish welsh irish french german spanish italian portuguese dutch belgian swiss austrian polish czech slovak "
    "hungarian romanian bulgarian greek turkish russian ukrainian belarusian lithuanian latvian estonian finnish swedish norwegian danish icelandic "
    "canadian mexican brazilian argentinian argentine chilean peruvian colombian venezuelan cuban indian pakistani bangladeshi nepali chinese "
    "japanese korean vietnamese thai filipino filipina indonesian malaysian singaporean australian kiwi egyptian moroccan tunisian algerian nigerian "
    "ghanaian kenyan ethiopian south\\s+african israeli lebanese syrian iraqi iranian persian saudi georgian armenian azerbaijani kazakh uzbek "
    "serbian croatian bosnian slovenian albanian macedonian jamaican haitian cypriot maltese moldovan mongolian glaswegian londoner"
)
NATIONALITIES_RU = (
    "русский русская белорус белоруска украинец украинка татарин татарка башкир казах казашка узбек узбечка армянин армянка грузин грузинка "
    "азербайджанец азербайджанка еврей еврейка немец немка поляк полячка чех чешка ирландец ирландка француз француженка итальянец итальянка испанец испанка "
    "американец американка англичанин англичанка кореец кореянка китаец китаянка японец японка чуваш бурят якут осетин осетинка чеченец чеченка дагестанец "
    "таджик таджичка киргиз молдаванин молдаванка латыш латышка литовец литовка эстонец эстонка финн финка серб сербка болгарин болгарка турок турчанка "
    "грек гречанка израильтянин израильтянка сириец сирийка иранец иранка вьетнамец вьетнамка монгол монголка румын румынка венгр венгерка хорват хорватка черногорец "
    "словак словачка словенец албанец португалец португалка голландец голландка бельгиец швейцарец швейцарка австриец австрийка датчанин датчанка норвежец норвежка швед шведка "
    "канадец канадка мексиканец мексиканка бразилец бразильянка аргентинец кубинец индиец индианка мордвин мордовка удмурт удмуртка мариец марийка лезгин лезгинка аварец аварка "
    "кабардинец черкес черкешенка абхаз абхазка калмык калмычка тувинец тувинка хакас карел карелка цыган цыганка ингуш ингушка"
)
RELIGIONS = "muslim jewish christian catholic buddhist hindu sikh atheist agnostic protestant mormon lutheran baptist methodist anglican quaker jew pagan"
RELIGIONS_RU = (
    "мусульманин мусульманка православный православная христианин христианка католик католичка иудей иудейка буддист буддистка атеист атеистка "
    "старообрядец старообрядка старообрядцы сикх кришнаит кришнаитка лютеранин лютеранка адвентист язычник католики православные мусульмане баптисты буддисты "
    "агностик протестант протестантка баптист неверующий неверующая верующий верующая"
)

# First names that are no other word, for who writes them small.
GIVEN_NAMES_RU = frozenset(
    "александр алексей анатолий андрей антон артем артур борис вадим валентин валера валерий василий виктор виталий владимир владислав вячеслав геннадий георгий глеб григорий "
    "данил даниил денис дмитрий дима евгений женя егор иван игорь илья кирилл константин костя леонид леша макар максим марат марк матвей миша михаил никита николай коля олег павел паша "
    "петр руслан саша саня семен серега сергей станислав степан тимофей тимур федор филипп эдуард юра юрий яков ян ярослав "
    "алена алина алиса алла анастасия ангелина анна аня антонина валентина валерия варвара василиса вероника виктория вика галина дарья даша диана евгения екатерина катя елена лена "
    "елизавета лиза жанна зина зинаида инна ирина ира карина кира кристина ксения ксюша лариса лидия людмила люда маргарита рита марина мария маша надя наталья наташа настя нина оксана ольга оля "
    "полина раиса света светлана софия соня таисия тамара таня татьяна ульяна юлия юля яна дамир айгуль гульнара рустам ренат эльдар".split()
)
GIVEN_NAMES_EN = frozenset(
    "aaron adam adrian aisha alan alex alexander alice alina alison amanda amelia amina amy andrea andrew andy angela anna anne annie anthony antonio arthur ashley barbara becky ben benjamin bernard "
    "beth betty bob bobby brenda brian bruce callum carl carla carlos carol caroline catherine charles charlie charlotte chloe chris christian christina christine claire clara craig daniel danielle "
    "danny darren dave david deborah debbie dennis derek diana diego dmitri dominic donna dorothy doug duncan eddie edward elena eleanor eli elizabeth ella ellen ellie emily emma eric erik erin "
    "esther ethan eva evelyn fatima fiona francesca gabriel gareth gary gemma geoff george gerald gina gloria gordon graham greg hannah harriet harry hassan heather helen henry holly howard hugh ian "
    "ingrid irene isaac isabel isabella ivan jacob jake james jamie jan jane janet jason jeff jennifer jenny jeremy jerry jess jesse jessica jill jim jimmy joan joanna joe joel john johnny jon "
    "jonathan jordan jorge jose joseph josh joshua juan judith julia julian julie justin karen kate katherine kathy katie keith kelly ken kenneth kevin kim kyle larry laura lauren laurence leah "
    "leila leo leon leonard lewis liam lily linda lisa liz lorna louis louise lucas lucy luis luke lydia maria marcus margaret marie marina mario martha martin mary matt matthew maya megan mehmet "
    "melissa mia michael michelle miguel mike miriam mohammed molly monica nadia nancy naomi natalie natasha neil nicholas nicola nicole nigel nina noah nora oliver olivia omar oscar owen pablo "
    "pamela patricia patrick paul paula pedro peter phil philip pierre priya rachel ralph raj rebecca richard rita robert robin rodrigo roger ron rosa rosie ross roy ruth ryan sally sam samantha "
    "samuel sandra sara sarah scott sean sebastian sergio shane sharon sheila simon sofia sonia sophia sophie stacey stella stephanie stephen steve steven stuart susan suzanne sven tanya tara "
    "teresa terry theo theresa thomas tim timothy tina toby todd tom tommy tony tracy trevor ursula valerie vanessa vera veronica victor victoria vincent vivian walter wendy william yusuf yvonne "
    "zoe".split()
)

# Nouns in -er, -or and -ant that are trades, beside those among the professions; of the others most are none: "a light sleeper".
TRADES_EN = frozenset(
    "campaigner fundraiser buyer planner packer picker presenter broadcaster framer turner miller cutter installer erector operator contractor inspector investor vendor collector instructor "
    "navigator attendant lieutenant merchant restorer conservator composer drummer rapper caterer importer exporter retailer wholesaler grower trapper adviser advisor counsellor counselor "
    "governor registrar manufacturer publisher printer engraver etcher embroiderer dealer racer boxer wrestler footballer cricketer golfer skipper rigger driller entertainer performer juggler "
    "puppeteer auctioneer profiler examiner supplier shopkeeper bartender minder roaster carver sawyer logger assessor adjuster valuer warden checker typesetter transcriber captioner subtitler "
    "narrator announcer newsreader podcaster animator modeller moderator facilitator mediator arbitrator coordinator co-ordinator educator lector invigilator headteacher preacher minister senator "
    "legislator prosecutor commandant controller treasurer chancellor rector headmaster organiser organizer groomer tuner trimmer shearer milker dyer hatter glover roofer slater plasterer renderer "
    "paver welder smelter moulder polisher finisher sprayer assembler lagger shipper loader carrier haulier butler launderer presser weaver distributor confectioner exterminator fumigator "
    "stonecutter glassblower bookmaker server dishwasher scheduler signaller gunner mariner submariner stocker seller choreographer commissioner practitioner reviewer cartographer co-owner "
    "tattooer piercer housesitter cabdriver gamekeeper innkeeper marketer adjutant".split()
)

# Things, animals and relatives that people say they have; of what else "I have a …" goes before, most is a turn of speech.
OWNED = frozenset(
    "allotment apartment flat house home cottage cabin caravan campervan motorhome van car truck lorry bike bicycle motorbike motorcycle moped scooter boat barge narrowboat yacht dinghy kayak canoe "
    "skateboard surfboard snowboard ski tractor farm smallholding ranch vineyard orchard garden greenhouse shed garage pool pond balcony terrace paddock land plot conservatory workshop studio fireplace "
    "stove boiler piano keyboard guitar banjo ukulele violin fiddle viola cello bass harp flute clarinet oboe sax saxophone trumpet trombone tuba accordion drum drums kit synth turntable organ "
    "laptop computer pc desktop macbook ipad tablet phone iphone smartphone android kindle console xbox playstation ps4 ps5 camera drone printer telescope microscope tv television projector fridge "
    "freezer dishwasher oven kiln loom tattoo piercing hair eyes eye beard moustache freckles glasses contacts lens lenses braces dentures crutches wheelchair prosthesis implant pacemaker aid aids scar "
    "kid child children son daughter baby babies boy girl twin twins triplets toddler teenager teen stepson stepdaughter stepchildren grandkid grandchild grandchildren grandson granddaughter brother "
    "sister sibling cousin nephew niece uncle aunt stepbrother stepsister lad lads goddaughter godson chicken hen bee goat sheep pig cow horse pony ponies donkey alpaca llama duck geese goose fish gecko "
    "lizard iguana chameleon snake python tarantula scorpion hedgehog rat mouse mice gerbil guinea-pig pigs ferret pigeon canary canaries cockatiel cockatoo budgie parakeet spaniel dachshund "
    "kitten puppies mutt mongrel tabby siamese retriever bulldog shepherd collie poodle rottweiler doberman dalmatian dane mastiff setter pointer staffie staffy bengal ragdoll moggy tomcat "
    "degree phd doctorate masters master's diploma licence license citizenship passport business shop café cafe bakery restaurant pub bar salon company startup agency blog podcast channel "
    "newsletter lodger tenant housemate roommate flatmate collection mortgage landline horsebox timeshare bonsai cactus houseplant treehouse sauna hammock trampoline treadmill loft "
    "saloon hatchback suv minivan estate convertible pickup minibus bookshop guesthouse parrot tortoise turtle terrapin aquarium axolotl hive beehive beehives pendant necklace ring watch bracelet earring chair desk headset inhaler belt sofa couch plant cattle herd flock stall food-truck".split()
)
# Homes that have no name.
HOME_WORDS = frozenset(
    "flat house apartment room studio place cottage bungalow bedsit loft caravan houseboat farmhouse bedroom condo semi terrace boat barge narrowboat van campervan motorhome tent yurt trailer dorm dorms "
    "hostel annexe basement attic hut cabin mansion penthouse flatshare houseshare commune convent monastery camp care lighthouse vicarage boarding downtown uptown abroad suburbia".split()
)
# Countries and large towns, which a name after "left" or "back to" is rather than an employer.
PLACES_EN = frozenset(
    "england scotland wales ireland britain uk london manchester birmingham leeds liverpool glasgow edinburgh bristol cardiff belfast sheffield newcastle nottingham brighton oxford cambridge york bath "
    "dublin cork galway france paris lyon marseille nice toulouse bordeaux germany berlin munich hamburg cologne frankfurt leipzig dresden stuttgart spain madrid barcelona valencia seville malaga bilbao "
    "portugal lisbon porto italy rome milan naples turin florence venice bologna palermo greece athens thessaloniki crete turkey istanbul ankara izmir netherlands amsterdam rotterdam utrecht belgium "
    "brussels antwerp ghent luxembourg switzerland zurich geneva basel bern austria vienna graz salzburg poland warsaw krakow gdansk wroclaw czechia prague brno slovakia bratislava hungary budapest romania "
    "bucharest bulgaria sofia serbia belgrade croatia zagreb split slovenia ljubljana bosnia sarajevo albania tirana estonia tallinn latvia riga lithuania vilnius finland helsinki tampere sweden stockholm "
    "gothenburg malmö malmo norway oslo bergen denmark copenhagen aarhus iceland reykjavik russia moscow ukraine kyiv kiev lviv odessa kharkiv belarus minsk moldova georgia tbilisi armenia yerevan azerbaijan baku "
    "kazakhstan almaty uzbekistan tashkent israel jerusalem lebanon beirut syria damascus jordan amman iraq baghdad iran tehran egypt cairo morocco casablanca tunisia tunis algeria kenya nairobi nigeria "
    "lagos abuja ghana accra ethiopia uganda kampala tanzania rwanda zimbabwe harare zambia johannesburg durban india delhi mumbai bangalore chennai kolkata hyderabad pune pakistan karachi lahore bangladesh dhaka "
    "nepal kathmandu thailand bangkok vietnam hanoi cambodia malaysia singapore indonesia jakarta bali philippines manila china beijing shanghai shenzhen guangzhou taiwan taipei japan tokyo osaka kyoto "
    "korea seoul busan australia sydney melbourne brisbane perth adelaide canberra auckland wellington canada toronto vancouver montreal ottawa calgary edmonton quebec winnipeg halifax america usa chicago "
    "boston seattle portland denver austin dallas houston miami atlanta phoenix detroit philadelphia pittsburgh cleveland minneapolis baltimore nashville memphis orlando tampa sacramento brooklyn manhattan "
    "california texas florida ohio oregon michigan virginia arizona nevada utah colorado montana iowa kansas maine vermont alaska hawaii minnesota wisconsin illinois indiana tennessee kentucky alabama louisiana "
    "mexico cuba havana jamaica brazil rio argentina chile santiago peru lima colombia bogota ecuador quito venezuela caracas bolivia uruguay paraguay dubai doha qatar kuwait bahrain oman malta cyprus nicosia "
    "hull derby leicester coventry plymouth exeter norwich swansea aberdeen dundee inverness perth southampton portsmouth reading bradford europe asia africa".split()
)
# Employers that everybody knows, which a name after "left" is rather than a town.
EMPLOYERS = frozenset(
    "google amazon apple meta facebook microsoft netflix tesla uber nokia boeing airbus ikea tesco sainsbury's asda lidl aldi walmart target costco starbucks "
    "mcdonald's deloitte kpmg pwc accenture ibm oracle intel nvidia samsung sony siemens bosch bmw toyota ford barclays hsbc lloyds monzo revolut stripe shopify "
    "spotify twitter tiktok linkedin salesforce adobe cisco dell hp lufthansa ryanair easyjet nhs bbc unilever nestle pfizer astrazeneca shell bp vodafone".split()
)

# What a request begins with: "phone call secretary" is no trade.
COMMANDS = frozenset(
    "please spell phone text call remove schedule book set put turn find tell ask show make get add email remind play order send cancel create check need want give help write draft explain "
    "look open start stop read use take search define translate change pay let".split()
)
