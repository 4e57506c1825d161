"""The doctor's findings in the page's language. What the doctor writes is English; Russian names and advice stand here."""

from interconnected_ai.doctor import Illness

# An illness's name → its Russian name and what helps, in general; the figures are in its evidence.
_RUSSIAN = {
    "out of memory": (
        "Не хватило памяти",
        "считать тот же пакет по частям (accumulation_steps) или уменьшить систему",
    ),
    "ended by an error": (
        "Запуск прерван ошибкой",
        "исправить то, что названо в сообщении, и продолжить: iai train RUN/run.yaml --resume",
    ),
    "encoder does not read the rows": (
        "Кодировщик не знает языка строк",
        "обучить с кодировщиком, который их читает: base_model_name: multilingual",
    ),
    "learning rate too high": ("Скорость обучения велика", "вернуться к скоростям, при которых обучение держится"),
    "loss jumps": ("Потери скачут", "снизить скорости обучения и обрезать градиент на 1 или ниже"),
    "trunk drift": ("Ствол уплыл", "учить ствол медленнее того, что на нём стоит, и позже: lr_moe, head_start_epochs"),
    "learning rate too low": ("Скорость обучения мала", "шаги крупнее; больше эпох тоже поможет, но дороже"),
    "balance loss high, loss not falling": (
        "Баланс плох, а потери не падают",
        "поднять balance_loss_weight до 0,1, дальше — снижать скорости",
    ),
    "routing collapse": (
        "Коллапс маршрутизации",
        "включить потери баланса и z-потери: balance_loss_weight 0,05, z_loss_weight 0,001",
    ),
    "dead expert": ("Мёртвый эксперт", "включить потери баланса и z-потери; или взять меньше экспертов"),
    "experts under 20 % used": (
        "Эксперты загружены меньше чем на 20 %",
        "включить потери баланса и z-потери; больше экспертов сделало бы хуже",
    ),
    "branch starved in batches": (
        "Ветка голодает: ей мало строк в пакете",
        "добавить строк или обучить её отдельно на готовом стволе: iai branch add RUN ИМЯ --data ФАЙЛ",
    ),
    "overfitting": (
        "Переобучение",
        "больше строк; без них — dropout, сглаживание меток, weight_decay, меньшее patience",
    ),
    "calibration poor": (
        "Уверенности нельзя верить: плохая калибровка",
        "больше проверочных строк, похожих на будущие вопросы и не участвующих в обучении",
    ),
    "calibrated on few rows": (
        "Калибровка по немногим строкам",
        "дать каждой ветке не меньше 20 проверочных строк; до тех пор уверенность — порядок, а не вероятность",
    ),
    "temperature at its bound": (
        "Температура на границе",
        "на нижней — учить дольше и искать повторы строк; на верхней — проверить метки проверочных строк",
    ),
    "below counted words": (
        "Хуже подсчёта слов",
        "проверить, знает ли кодировщик язык и предмет, и вылечить остальное; иначе подсчёт слов и точнее, и много дешевле",
    ),
    "class never answered": (
        "Класс не называется никогда",
        "добавить этим классам строк или слить их с теми, что называются вместо них (см. таблицу классов)",
    ),
    "labels look wrong": (
        "Метки похожи на неверные",
        "прочитать эти строки (они ниже): либо ошибочны метки, и тогда столько же и в обучении, либо два класса говорят одно",
    ),
    "sure of any text": (
        "Уверен в любом тексте",
        "обучить рядом вторую ветку или ветку «всё остальное»; спрашивать только о том, чему учили",
    ),
    "branch under 85 %": (
        "Точность ветки ниже 85 %",
        "сначала вылечить найденное выше; затем — больше строк, верные метки, LoRA в кодировщике",
    ),
}


def finding_in(illness: Illness, language: str) -> tuple[str, str]:
    """The illness's name and its remedy, as sentences without a full stop."""
    if language == "en":
        return illness.name[0].upper() + illness.name[1:], illness.remedy
    return _RUSSIAN[illness.name]
