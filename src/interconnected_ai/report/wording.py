"""The words of a run's report in English and Russian: headings, axes with their units, captions, what is missing."""

from interconnected_ai.errors import UnknownNameError

LANGUAGES = ("en", "ru")

# key → (English, Russian); {names} are filled in
_WORDS = {
    "title": ("Run {name}", "Запуск {name}"),
    "finished": ("finished", "завершён"),
    "unfinished": ("unfinished", "не завершён"),
    "missing": ("What is missing", "Чего не хватает"),
    # Facts
    "facts": ("The run", "Запуск"),
    "state": ("state", "состояние"),
    "encoder": ("encoder", "кодировщик"),
    "embedded_encoder": ("embedded all-MiniLM-L6-v2", "встроенный all-MiniLM-L6-v2"),
    "layers": ("shared layers", "общие слои"),
    "moe_layers": (
        "{num_layers} MoE, {num_experts} experts each, top {top_k}",
        "{num_layers} MoE, экспертов в каждом: {num_experts}, top-{top_k}",
    ),
    "dense_layers": ("{num_layers} dense", "{num_layers} плотных"),
    "parameters": ("parameters", "параметров"),
    "parameters_of": ("{total} (encoder {encoder}, trunk {trunk})", "{total} (кодировщик {encoder}, ствол {trunk})"),
    "steps": ("steps", "шагов"),
    "steps_so_far": ("steps logged so far", "записано шагов"),
    "epochs": ("epochs", "эпох"),
    "epochs_of": ("{epochs} of {most}, best {best}", "{epochs} из {most}, лучшая {best}"),
    "batch": ("batch, rows", "пакет, строк"),
    "seed": ("seed", "начальное число"),
    # Curves
    "curves": ("Curves", "Кривые"),
    "step": ("optimiser step", "шаг оптимизатора"),
    "loss": ("Training loss", "Потеря при обучении"),
    "loss_axis": ("cross-entropy, nats", "перекрёстная энтропия, наты"),
    "total": ("all branches", "все ветки"),
    "smoothed": (
        "Single batches; lines are running means over {window} logged ones.",
        "Отдельные пакеты; линии — скользящие средние по {window} записанным.",
    ),
    "plain": ("Single batches.", "Отдельные пакеты."),
    "total_means": (
        "“All branches” weighs classes as the config says, the branches' own losses do not.",
        "Потеря «все ветки» учитывает веса классов из настроек, потери отдельных веток — нет.",
    ),
    "validation_loss": ("Validation loss", "Потеря на проверке"),
    "validation_loss_axis": ("−log of the right class, nats", "−log верного класса, наты"),
    "accuracy": ("Validation accuracy", "Точность на проверке"),
    "accuracy_axis": ("accuracy, %", "точность, %"),
    "mean": ("mean", "средняя"),
    "best_epoch": (
        "After every epoch. Dotted: the epoch whose weights were kept ({epoch}).",
        "После каждой эпохи. Пунктир — эпоха, веса которой сохранены ({epoch}).",
    ),
    "every_epoch": ("After every epoch.", "После каждой эпохи."),
    "balance": ("Balance loss", "Потеря баланса"),
    "balance_axis": ("balance loss (even use = 1)", "потеря баланса (поровну = 1)"),
    "balance_means": (
        "Mean over the MoE layers, before its weight of {weight:g}.",
        "Средняя по слоям MoE, до умножения на вес {weight:g}.",
    ),
    "entropy": ("Entropy of the experts' use", "Энтропия загрузки экспертов"),
    "entropy_axis": ("entropy (even use = 1)", "энтропия (поровну = 1)"),
    "layer": ("layer {layer}", "слой {layer}"),
    "gradient": ("Gradient norm", "Норма градиента"),
    "gradient_axis": ("L2 norm before clipping", "L2-норма до обрезки"),
    "clip": ("Dotted: the clip at {clip:g}.", "Пунктир — обрезка на {clip:g}."),
    "rates": ("Learning rates", "Скорости обучения"),
    "rates_axis": ("learning rate, × 10⁻³", "скорость обучения, × 10⁻³"),
    "speed": ("Speed", "Быстродействие"),
    "speed_axis": ("rows per second", "строк в секунду"),
    "rest": ("{count} others", "ещё {count}"),
    "most_lines": (
        "Of {count} branches the {named} worst at the end are named.",
        "Из {count} веток названы {named} худших в конце.",
    ),
    # Experts
    "experts": ("Use of the experts", "Загрузка экспертов"),
    "use_of": ("Layer {layer}", "Слой {layer}"),
    "expert_axis": ("expert, number", "эксперт, номер"),
    "share_axis": ("share of assignments, %", "доля назначений, %"),
    "use_means": (
        "Even use is {even:.3g} % (line on the scale, which is a square root). In the last tenth of the steps the most used "
        "expert has {most:.3g} %, the least used {least:.3g} %.",
        "Поровну — {even:.3g} % (черта на шкале; шкала — квадратный корень). В последней десятой шагов у самого занятого "
        "эксперта {most:.3g} %, у самого свободного {least:.3g} %.",
    ),
    # Test rows
    "results": ("Test results", "Результаты на тесте"),
    "results_mean": (
        "Rows that were neither learnt from nor chosen by. ECE: mean distance between confidence and accuracy over 15 bins; "
        "“before” is at temperature 1. Answered: rows at or above the branch's threshold.",
        "Строки, по которым не учились и ничего не выбирали. ECE — среднее расстояние между уверенностью и точностью по 15 "
        "интервалам; «до» — при температуре 1. Отвечено — доля строк не ниже порога ветки.",
    ),
    "recorded_mean": ("As recorded at the end of the training.", "Как записано в конце обучения."),
    "branch": ("branch", "ветка"),
    "classes": ("classes", "классов"),
    "train_rows": ("training rows", "обучающих строк"),
    "test_rows": ("test rows", "тестовых строк"),
    "accuracy_column": ("accuracy, %", "точность, %"),
    "f1_column": ("macro-F1, %", "macro-F1, %"),
    "ece_column": ("ECE, %", "ECE, %"),
    "ece_before": ("ECE before, %", "ECE до, %"),
    "ece_after": ("ECE after, %", "ECE после, %"),
    "temperature": ("temperature", "температура"),
    "answered": ("answered, %", "отвечено, %"),
    "confusion": ("Confusion on the test rows", "Путаница на тестовых строках"),
    "true_axis": ("true class", "истинный класс"),
    "answer_axis": ("answer", "ответ"),
    "true_number_axis": ("true class, number", "истинный класс, номер"),
    "answer_number_axis": ("answer, number of the class", "ответ, номер класса"),
    "confusion_axis": ("share of the true class, %", "доля истинного класса, %"),
    "confusion_counts": ("Numbers are rows.", "Числа — строки."),
    "confusion_many": (
        "{count} classes, numbered from 0 in the order of the branch's labels; the scale is a square root.",
        "Классов: {count}, номера с 0 по порядку меток ветки; шкала — квадратный корень.",
    ),
    "pairs": ("{branch}: most confused", "{branch}: чаще всего путает"),
    "no_pairs": ("No row was answered wrongly.", "Ни одной ошибки."),
    "rows": ("rows", "строк"),
    "share": ("of the class, %", "от класса, %"),
    "calibration": ("Calibration on the test rows", "Калибровка на тестовых строках"),
    "confidence_axis": ("confidence, %", "уверенность, %"),
    "before": ("before: ECE {ece:.2f} %", "до: ECE {ece:.2f} %"),
    "after": ("after: ECE {ece:.2f} %", "после: ECE {ece:.2f} %"),
    "reliability_means": (
        "{num_rows} rows, temperature {temperature:.3g}. Areas of the marks are numbers of rows.",
        "Строк: {num_rows}, температура {temperature:.3g}. Площадь отметки — число строк.",
    ),
    # Cost
    "cost": ("Cost", "Стоимость"),
    "cache_seconds": ("encoding the texts once, seconds", "однократное кодирование текстов, с"),
    "train_seconds": ("training, seconds", "обучение, с"),
    "seconds": ("together, seconds", "вместе, с"),
    "rows_per_second": ("rows per second, median of the logged steps", "строк в секунду, медиана по записанным шагам"),
    "device": ("device", "устройство"),
    "precision": ("precision", "точность чисел"),
    "usd_per_hour": ("price given, USD per hour", "заданная цена, USD в час"),
    "usd": ("cost, USD", "стоимость, USD"),
    "cost_means": (
        "Measured. Training holds the evaluations after the epochs; the final calibration and test are not counted. After a "
        "resumption only the last call is.",
        "Измерено. В обучение входят проверки после эпох; последние калибровка и тест не считаны. После продолжения считан "
        "только последний вызов.",
    ),
    "asked_device": ("{device} (asked for; what was used is known at the end)", "{device} (задано; итог известен в конце)"),
    # What is missing
    "no_figures": (
        "No figures yet: metrics.jsonl holds no whole line. The first one comes with the first step.",
        "Величин ещё нет: в metrics.jsonl нет ни одной целой строки. Первая появится с первым шагом.",
    ),
    "no_model": (
        "No model yet, hence no confusion, calibration, cost and test results: the run is unfinished. Go on with: iai train "
        "{detail} --resume",
        "Модели ещё нет, поэтому нет путаницы, калибровки, стоимости и результатов на тесте: запуск не завершён. Продолжить: "
        "iai train {detail} --resume",
    ),
    "ended": ("An error ended the training: {detail}", "Обучение прервала ошибка: {detail}"),
    "no_results": (
        "results.json is not there, hence no seconds: the run stopped while it was writing its results.",
        "Нет results.json, поэтому нет и времени: запуск остановился, когда записывал результаты.",
    ),
    "no_answers": (
        "The test rows could not be answered, hence no confusion and calibration: {detail}",
        "На тестовые строки не удалось ответить, поэтому нет путаницы и калибровки: {detail}",
    ),
    "no_test_rows": (
        "The run held out no test rows (data.test_fraction is 0), hence no confusion and calibration.",
        "В запуске не отложено тестовых строк (data.test_fraction равно 0), поэтому нет путаницы и калибровки.",
    ),
    "no_branch_rows": (
        "No test rows of these branches among the run's data: {detail}.",
        "В данных запуска нет тестовых строк этих веток: {detail}.",
    ),
    "removed_branch": (
        "Branches with test rows that the model no longer has: {detail}.",
        "Ветки с тестовыми строками, которых в модели больше нет: {detail}.",
    ),
    "unreadable_branch": ("Not measured: {detail}", "Не измерено: {detail}"),
    "other_results": (
        "Measured now and recorded at the end of the training differ, so the data files or the model changed since, or the "
        "device rounds differently: {detail}.",
        "Измеренное сейчас отличается от записанного в конце обучения: с тех пор изменились файлы данных или модель, или "
        "устройство иначе округляет: {detail}.",
    ),
    "no_usd": (
        "The price per hour was given, but no seconds are measured yet.",
        "Цена за час задана, но время ещё не измерено.",
    ),
}  # fmt: skip


class Words:
    """`words("batch")` in one language; `words("layer", layer=2)` fills in values. Raises `UnknownNameError`."""

    def __init__(self, language: str = "en") -> None:
        if language not in LANGUAGES:
            raise UnknownNameError("language", language, LANGUAGES)
        self.language = language
        self._column = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        """The words for `key`."""
        return _WORDS[key][self._column].format(**values)

    def count(self, number: float) -> str:
        """A whole number with its thousands apart: 12,288 in English, 12 288 in Russian."""
        return self.number(number, 0)

    def number(self, number: float, digits: int = 2) -> str:
        """A number with its thousands apart and so many digits after the point."""
        return f"{number:,.{digits}f}".replace(",", "," if self.language == "en" else "\N{NO-BREAK SPACE}")
