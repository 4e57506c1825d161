"""Ten questions in each language over a made-up chat of 600 messages: what a person asks weeks later, in words of today.

Some answers were changed later, some are spread over two messages, some were given in other words or in the other language. The
chats are made from the lists below and a seed; the questions were written before anything was measured on them.
"""

import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from interconnected_ai.memory import SQLiteStore, ThreeLevelMemory, VectorModel

Kind = Literal["superseded", "two messages", "other words", "other language"]
NUM_MESSAGES = 600
BUDGETS = (2_000, 13_000)
_START = 1_767_225_600.0  # 2026-01-01
_BETWEEN_SECONDS = 7_200.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and what it takes to answer it: (place in the chat, message), all of which a context has to hold.

    before: what stood there before, and holds no more.
    """

    kind: Kind
    question: str
    evidence: tuple[tuple[int, str], ...]
    before: tuple[tuple[int, str], ...] = ()


ENGLISH = (
    Asked("superseded", "What colour is the kitchen going to be painted?",
          ((410, "Scrap the sage, the walls around the stove will be terracotta after all."),),
          ((60, "We decided that the kitchen will be painted sage green."),)),
    Asked("superseded", "When do I fly to Lisbon?",
          ((388, "The airline has moved me: Lisbon is on Friday at 15:05 instead."),),
          ((97, "My flight to Lisbon leaves on Thursday at 9:40."),)),
    Asked("superseded", "What is the code for the gate?",
          ((455, "They have changed the numbers at the entrance, from today it opens with 8830."),),
          ((141, "The code for the gate is 4471."),)),
    Asked("two messages", "What day is Nadia's birthday?",
          ((75, "Nadia turns forty on the day after the regatta."), (296, "The regatta has been set for 14 June."))),
    Asked("two messages", "Where is the spare key to the cellar?",
          ((118, "The spare key to the cellar is in the tin that Tom brought us."),
           (333, "That tin of Tom's stands behind the dryer."))),
    Asked("two messages", "Who has my drill?",
          ((164, "I lent my drill to whoever lives in number 12, he asked so nicely."),
           (427, "Mr Okafor is the man from number 12."))),
    Asked("other words", "Which food am I allergic to?",
          ((187, "A single peanut closes my throat up, the last one put me in an ambulance."),)),
    Asked("other words", "What will my next job be?",
          ((352, "I handed in my notice at the clinic, from May on I bake bread at Hansson's."),)),
    Asked("other language", "What illness does my cat have?",
          ((213, "Ветеринар сказал, что у кошки диабет и ей нужен укол дважды в день."),)),
    Asked("other language", "How much did the sofa cost?",
          ((260, "Диван обошёлся нам в сорок две тысячи вместе с доставкой."),)),
)  # fmt: skip
RUSSIAN = (
    Asked("superseded", "В какой цвет будем красить детскую?",
          ((402, "Передумали с голубым, стены у малыша станут песочными."),),
          ((58, "Решили, что детскую покрасим в голубой."),)),
    Asked("superseded", "Во сколько у меня поезд в Казань?",
          ((391, "Билет поменяла: в Казань теперь уезжаю в субботу в 7:15."),),
          ((103, "Мой поезд в Казань отходит в пятницу в 22:40."),)),
    Asked("superseded", "Какой код у домофона?",
          ((462, "Управляющая компания сменила цифры на двери подъезда, теперь 3058."),),
          ((137, "Код домофона 1924."),)),
    Asked("two messages", "Какого числа юбилей у тёти Веры?",
          ((79, "Юбилей тёти Веры будет на следующий день после ярмарки."), (301, "Ярмарку назначили на 19 августа."))),
    Asked("two messages", "Где лежат документы на машину?",
          ((122, "Документы на машину я убрала в папку, которую подарил Глеб."),
           (337, "Папка Глеба стоит на антресолях за чемоданом."))),
    Asked("two messages", "У кого наша палатка?",
          ((169, "Палатку мы отдали соседу из сорок шестой квартиры."),
           (431, "В сорок шестой живёт Рустам Ильдарович."))),
    Asked("other words", "Что мне нельзя есть?",
          ((192, "От одной креветки я покрываюсь пятнами и задыхаюсь."),)),
    Asked("other words", "Кем я буду работать?",
          ((357, "Ушла из банка, с сентября веду кружок керамики в доме творчества."),)),
    Asked("other language", "Чем болеет наша собака?",
          ((219, "The vet says the dog's heart is weak and she must have half a pill every morning."),)),
    Asked("other language", "Сколько стоит аренда гаража?",
          ((266, "The garage will be rented to us for six thousand a month."),)),
)  # fmt: skip

_ENGLISH_TALK = (
    ("{who} asked about the {thing} again, I said we would see on {day}.",
     "The {thing} was {how} today, nothing to complain about.",
     "Do you know a good way to clean the {thing}?",
     "We had {food} with {who}, it was {how}.",
     "On {day} I want to call {who} about the trip.",
     "It rained all {day}, so we stayed in and looked at the {thing}.",
     "{who} thinks that {food} tastes better when it is cold.",
     "Remind me how long {food} keeps in the fridge."),
    ("That sounds {how}. {who} may know more about the {thing}.",
     "Warm water and a soft cloth will do for the {thing}.",
     "{food} keeps for about three days when it is covered.",
     "Then {day} is a good day for it.",
     "I would not worry about the {thing}."),
    {"who": "Nadia Tom Bella Marcus Priya Owen Lucia Henrik",
     "thing": "kitchen|garden|bicycle|gate|window|cat|sofa|old lamp|cellar|book about Lisbon|key ring|ladder",
     "how": "fine|rather dull|lovely|a bit late|better than last time|loud",
     "day": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
     "food": "soup|apple pie|the pasta|fish|the salad|bread with cheese|curry"},
)  # fmt: skip
_RUSSIAN_TALK = (
    ("{who} опять спрашивает про {thing}, я сказала, что решим в {day}.",
     "Смотрела сегодня на {thing}: всё {how}.",
     "Чем лучше протирать {thing}?",
     "Ели {food}, пришла {who}, было {how}.",
     "В {day} хочу позвонить, {who} знает про поездку.",
     "Весь {day} шёл дождь, сидели дома и разбирали {thing}.",
     "{who} говорит, что {food} вкуснее холодным.",
     "Напомни, сколько хранится {food}."),
    ("Звучит {how}. Про {thing} скорее знает {who}.",
     "Для {thing} хватит тёплой воды и мягкой тряпки.",
     "{food} хранится дня три, если накрыть.",
     "Тогда {day} подходит.",
     "Про {thing} я бы не волновалась."),
    {"who": "Вера|Марина|Оля|Света|Нина|Даша|Рита|Зоя",
     "thing": "детскую|сад|велосипед|домофон|окно|собаку|гараж|старую лампу|палатку для кукол|книгу про Казань|машину|лестницу",
     "how": "хорошо|скучновато|чудесно|поздно|лучше прежнего|шумно",
     "day": "понедельник|вторник|четверг|выходной|праздник|вечер",
     "food": "суп|пирог|плов|рыба|салат|хлеб с сыром|каша"},
)  # fmt: skip
_LANGUAGES = {"en": (ENGLISH, _ENGLISH_TALK), "ru": (RUSSIAN, _RUSSIAN_TALK)}


def chat_of(language: str) -> list[tuple[str, str]]:
    """The (role, message) pairs of the chat in a language, `en` or `ru`: talk, and among it what will be asked for."""
    asked, (said, answered, words) = _LANGUAGES[language]
    draw = random.Random(language)
    options = {slot: (text.split("|") if "|" in text else text.split()) for slot, text in words.items()}
    planted = {place: text for one in asked for place, text in (*one.before, *one.evidence)}
    chat: list[tuple[str, str]] = []
    for place in range(NUM_MESSAGES):
        is_reply = place % 2 == 1 and place not in planted
        template = draw.choice(answered if is_reply else said)
        talk = template.format(**{slot: draw.choice(values) for slot, values in options.items()})
        chat.append(("assistant" if is_reply else "user", planted.get(place, talk[0].upper() + talk[1:])))
    return chat


def question_figures(model: VectorModel | None) -> dict[str, float]:
    """`questions_LANGUAGE_BUDGETk`: of ten questions, how many have all their evidence, word for word, in the context."""
    found: dict[str, float] = {}
    for language, (asked, _) in _LANGUAGES.items():
        with tempfile.TemporaryDirectory(prefix="iai-bench-memory-") as folder:
            for budget, kinds in answered_kinds(Path(folder) / "memory.db", language, asked, model).items():
                found[f"questions_{language}_{budget // 1000}k"] = float(len(kinds))
    return found


def answered_kinds(
    file: Path, language: str, asked: tuple[Asked, ...], model: VectorModel | None
) -> dict[int, list[Kind]]:
    """Budget → the kind of each question that has all its evidence in the context."""
    store = SQLiteStore(file, synchronous="OFF")
    with ThreeLevelMemory(store, encode=model, background=False) as memory:
        for place, (role, content) in enumerate(chat_of(language)):
            memory.add(role, content, id=str(place), time=_START + _BETWEEN_SECONDS * place)
        memory.catch_up()
        now = _START + _BETWEEN_SECONDS * NUM_MESSAGES
        return {
            budget: [
                one.kind
                for one in asked
                if {str(place) for place, _ in one.evidence}
                <= set(memory.context(one.question, budget_tokens=budget, now=now).source_ids)
            ]
            for budget in BUDGETS
        }
