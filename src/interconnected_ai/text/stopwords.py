"""Words too common to tell one message from another, Russian and English, in normalised form."""

_ENGLISH = """
a an the and or but if then else so as of at by for from in into on onto to with without about over under up down out off
i me my mine we us our ours you your yours he him his she her hers it its they them their theirs this that these those
am is are was were be been being do does did doing done have has had having will would shall should can could may might
must not no nor too very just also there here what which who whom whose when where why how all any both each few more
most other some such only own same than because while during before after above below between through again once s t
re ve ll d m don didn doesn isn aren wasn weren hasn haven hadn won wouldn shouldn couldn i'm i've i'd i'll you're you've
you'd you'll he's she's it's we're we've we'd we'll they're they've they'd they'll that's there's what's who's where's
how's let's don't didn't doesn't isn't aren't wasn't weren't hasn't haven't hadn't won't wouldn't shouldn't couldn't can't
"""

_RUSSIAN = """
и в во не что он на я с со как а то все она так его но да ты к у же вы за бы по только ее мне было вот от меня еще нет о
из ему теперь когда даже ну ли если уже или ни быть был была были него до вас нибудь опять уж вам ведь там потом себя
ничего ей может они тут где есть надо ней для мы тебя их чем сам чтоб без будто чего раз тоже себе под будет ж тогда кто
этот того потому этого какой какая какое какие каких каким какую совсем ним этом почти мой моя мое мои моего моей моим
твой твоя твое твои твоего твоей твоим тем чтобы нее сейчас куда зачем всех можно при об это эта эти этой эту этих хоть
после над больше тот та те через нас про всего них много разве эту свою своей своих свой своя этим этого лучше чуть том
нельзя такой такая такое такие им более всегда конечно всю между который которая которое которые которого которой которых
мной тобой нам нами вами ими ваш ваша ваше ваши наш наша наше наши сколько почему откуда чей чья чье
"""

STOP_WORDS = frozenset(_ENGLISH.split()) | frozenset(_RUSSIAN.split())
