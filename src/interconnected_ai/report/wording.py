"""The words of a run's report in English and Russian: headings, axes with their units, captions, what is missing."""

from datetime import datetime
from string import Formatter
from typing import Any

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
    "dense_layers": ("{num_layers} dense", "{num_layers} плотных (без экспертов)"),
    "parameters": ("parameters", "параметры"),
    "parameters_of": ("{total} (encoder {encoder}, trunk {trunk})", "{total} (кодировщик {encoder}, ствол {trunk})"),
    "steps": ("steps", "шаги"),
    "steps_so_far": ("steps logged so far", "шагов записано"),
    "epochs": ("epochs", "эпохи"),
    "epochs_of": ("{epochs} of {most}, best {best}", "{epochs} из {most}, лучшая {best}"),
    "batch": ("batch, rows", "размер пакета, строк"),
    "seed": ("seed", "зерно случайности"),
    # A language model's adapter
    "adapter_base": ("base", "базовая модель"),
    "adapter_of": ("adapter", "адаптер"),
    "adapter_shape": ("LoRA of rank {rank}, {count} parameters", "LoRA ранга {rank}, параметров: {count}"),
    "learns_from": ("learns from", "учится на"),
    "learns_text": ("text", "тексте"),
    "learns_chats": ("conversations, their answers alone", "беседах, только на ответах"),
    "learns_preferences": ("preferences (DPO, beta {beta})", "предпочтениях (DPO, beta {beta})"),
    "examples_table": ("What it learns from", "На чём учится"),
    "side": ("side", "часть"),
    "side_train": ("learnt", "обучающие"),
    "side_validation": ("held out, to choose the best weights", "отложенные для выбора весов"),
    "side_test": ("held out, to measure", "отложенные для измерения"),
    "num_examples": ("examples", "примеров"),
    "num_tokens": ("tokens", "токенов"),
    "num_counted": ("of which learnt", "из них учатся"),
    "longest": ("longest, tokens", "самый длинный, токенов"),
    "remarks": ("Remarks on the examples", "Замечания о примерах"),
    "measured": ("Held-out examples", "Отложенные примеры"),
    "measured_means": (
        "Measured at the end, with the weights that are kept.", "Измерено в конце, с оставленными весами.",
    ),
    "base_alone": ("the base alone", "одна базовая модель"),
    "with_adapter": ("with the adapter", "с адаптером"),
    "figure_loss": ("loss, nats", "потери, нат"),
    "figure_perplexity": ("perplexity", "перплексия"),
    "figure_bits_per_byte": ("bits per byte", "бит на байт"),
    "figure_accuracy": ("the right way round, %", "в верном порядке, %"),
    "figure_margin": ("margin of rewards", "перевес наград"),
    "figure_chosen_reward": ("reward of the better answers", "награда хороших ответов"),
    "nats": ("Loss", "Потери"),
    "nats_axis": ("nats per token", "нат на токен"),
    "dpo_axis": ("DPO loss", "потери DPO"),
    "held_out_loss": ("held out", "отложенные"),
    "train_loss_line": ("training", "обучение"),
    "preferred": ("Held-out pairs the right way round", "Отложенные пары в верном порядке"),
    "preferred_axis": ("%", "%"),
    "rewards": ("Rewards on held-out pairs", "Награды на отложенных парах"),
    "rewards_axis": ("reward", "награда"),
    "rewards_means": (
        "A better answer's reward below 0: it has become less likely than the base has it.",
        "Награда хорошего ответа ниже 0: он стал менее вероятен, чем у базовой модели.",
    ),
    "margin_line": ("margin", "перевес"),
    "chosen_line": ("better answers", "хорошие ответы"),
    "adapter_rate": ("Learning rate × 1000", "Скорость обучения × 1000"),
    "adapter_rate_axis": ("lr × 1000", "lr × 1000"),
    "tokens_speed": ("Tokens per second", "Токенов в секунду"),
    "tokens_speed_axis": ("tokens per second", "токенов в секунду"),
    "train_seconds_of": ("seconds of training", "секунд обучения"),
    # The verdict
    "verdict_good": ("Good: the doctor found nothing", "Всё хорошо: доктор ничего не нашёл"),
    "verdict_look": ("Look here: {count} found", "Стоит посмотреть: найдено {count}"),
    "verdict_unfinished": (
        "Too early to say: the run is unfinished, and so far nothing is wrong",
        "Рано судить: запуск не завершён, и пока всё в порядке",
    ),
    "remedy": ("What helps: {remedy}", "Что поможет: {remedy}"),
    "evidence_translated": ("Evidence: {evidence}", "Показания: {evidence}"),
    "evidence": ("{evidence}", "Показания (как их пишет iai doctor): {evidence}"),
    "change": (
        "Settings: {changes} — iai doctor {run} --fix writes them",
        "Настройки: {changes} — их запишет iai doctor {run} --fix",
    ),
    "unjudged": ("Not looked at: {items}", "Не проверено: {items}"),
    # Where the run came from
    "begun": ("begun", "начат"),
    "version": ("version", "версия"),
    "command": ("command", "команда"),
    "by_program": ("a program of one's own", "своя программа"),
    "watched": ("the best weights are chosen by (watch)", "лучшие веса выбраны по (watch)"),
    "watch_accuracy": ("accuracy on the validation rows", "точности на проверочных строках"),
    "watch_macro_f1": ("macro-F1 on the validation rows", "macro-F1 на проверочных строках"),
    "watch_loss": ("loss on the validation rows", "потерям на проверочных строках"),
    "rate_moe": ("trunk (lr_moe)", "ствол (lr_moe)"),
    "rate_adapter": ("adapters (lr_adapter)", "адаптеры (lr_adapter)"),
    "rate_head": ("heads (lr_head)", "головы (lr_head)"),
    "rate_wide": ("words (lr_wide)", "слова (lr_wide)"),
    "rate_encoder_lora": ("encoder LoRA (lr_encoder_lora)", "LoRA кодировщика (lr_encoder_lora)"),
    # Beside the results
    "baseline_accuracy": ("baseline accuracy, %", "точность базовой модели, %"),
    "baseline_f1": ("baseline macro-F1, %", "macro-F1 базовой модели, %"),
    "no_baseline": ("none was measured", "не измерена"),
    # Single answers
    "wrong": ("What it got most wrong", "Самые грубые ошибки"),
    "wrong_means": (
        "Test rows answered otherwise than labelled, the surest first. Of confidence, see the calibration below. "
        "“Label?” marks "
        "rows answered with 90 % or more whose own label has 10 % or less: there the label is the likelier mistake.",
        "Тестовые строки, где ответ расходится с меткой; самые уверенные сверху. О том, чего стоит уверенность, — ниже, в "
        "калибровке. «Метка?» стоит там, где у ответа 90 % и больше, а у метки строки 10 % и меньше: скорее ошибочна метка.",
    ),
    "wrong_of": (
        "{branch}: {wrong} of {rows} rows, {doubtful} with a doubtful label",
        "{branch}: {wrong} из {rows} строк, с сомнительной меткой {doubtful}",
    ),
    "text": ("text", "текст"),
    "label": ("label", "метка"),
    "answer": ("answer", "ответ"),
    "confidence": ("confidence, %", "уверенность, %"),
    "given": ("its label's, %", "у метки, %"),
    "doubt": ("label?", "метка?"),
    "texts_left_out": (
        "Texts are left out of this page, as was asked for.",
        "Тексты на эту страницу не выведены, как и было задано.",
    ),
    "per_class": ("Classes on the test rows", "Классы на тестовых строках"),
    "per_class_means": (
        "The worst first, by F1. Precision: of the rows answered so, the share that is so; recall: of the class's "
        "rows, the share "
        "answered so; F1: their harmonic mean.",
        "Сверху худшие по F1. Точность класса (precision) — доля верных среди ответов этим классом; полнота (recall) "
        "— доля строк "
        "класса, которым он назван; F1 — их среднее гармоническое.",
    ),
    "class": ("class", "класс"),
    "precision_column": ("precision, %", "точность (precision), %"),
    "recall_column": ("recall, %", "полнота (recall), %"),
    "class_f1": ("F1, %", "F1, %"),
    "confused_with": ("most confused with", "чаще всего вместо него"),
    "confused_count": ("{label} ({count})", "{label} ({count})"),
    "grid": ("{branch}: all classes", "{branch}: все классы"),
    "grid_corner": ("true class ↓ answer →", "истинный класс ↓ ответ →"),
    "grid_means": (
        "The cells count rows; the table scrolls in both directions.",
        "В клетках — число строк; таблица прокручивается в обе стороны.",
    ),
    "scope": ("Text that is none of its business", "Чужие тексты"),
    "scope_means": (
        "What would be refused (answered “unknown”) at each threshold of confidence × familiarity, measured on the "
        "test rows: of "
        "the branch's own, where a refusal is a loss; of rows of the other branches, and of {count} texts that are nobody's "
        "business (keys hit at random, other languages), where it is right. Dotted: the branch's threshold, chosen on the "
        "validation rows.",
        "Доля отказов (ответов «unknown») при каждом пороге на уверенность × знакомость, измерено на тестовых "
        "строках: своих, где "
        "отказ — потеря; строк других веток и {count} ничьих текстов (случайные клавиши, другие языки), где отказ "
        "верен. Пунктир — "
        "порог ветки, выбранный на проверочных строках.",
    ),
    "own_rows": ("own rows ({count}): lost", "свои строки ({count}): потеряны"),
    "other_rows": ("other branches' rows ({count})", "строки других веток ({count})"),
    "strange_texts": ("nobody's texts ({count})", "ничьи тексты ({count})"),
    "threshold_axis": ("threshold", "порог"),
    "refused_axis": ("refused, %", "отказов, %"),
    "scope_at": (
        "At the threshold {threshold:.3f}: refused are {own} % of its own rows, {others} % of other branches', "
        "{strange} % of nobody's texts.",
        "При пороге {threshold:.3f} отказ получают {own} % своих строк, {others} % строк других веток, {strange} % "
        "ничьих текстов.",
    ),
    # Curves
    "curves": ("Curves", "Кривые"),
    "step": ("optimiser step", "шаг оптимизатора"),
    "loss": ("Training loss", "Потери на обучении"),
    "loss_axis": ("cross-entropy, nats", "перекрёстная энтропия, нат"),
    "total": ("all branches", "все ветки"),
    "smoothed": (
        "Single batches; lines are running means over {window} logged ones.",
        "Отдельные пакеты; линии — скользящее среднее по {window} записанным значениям.",
    ),
    "plain": ("Single batches.", "Отдельные пакеты."),
    "total_means": (
        "“All branches” weighs classes as the config says, the branches' own losses do not.",
        "Потери «все ветки» учитывают веса классов из настроек, потери отдельных веток их не учитывают.",
    ),
    "validation_loss": ("Validation loss", "Потери на проверке"),
    "validation_loss_axis": ("−ln of the right class, nats", "−ln вероятности верного класса, нат"),
    "accuracy": ("Validation accuracy", "Точность на проверке"),
    "accuracy_axis": ("accuracy, %", "точность, %"),
    "mean": ("mean", "средняя"),
    "best_epoch": (
        "After every epoch. Dotted: the epoch whose weights were kept ({epoch}).",
        "После каждой эпохи. Пунктир — эпоха, веса которой сохранены ({epoch}).",
    ),
    "every_epoch": ("After every epoch.", "После каждой эпохи."),
    "balance": ("Balance loss", "Потери баланса"),
    "balance_axis": ("balance loss (even use = 1)", "потери баланса (равная доля = 1)"),
    "balance_means": (
        "Mean over the MoE layers, before its weight of {weight:g}.",
        "Среднее по слоям MoE, до умножения на вес {weight:g}.",
    ),
    "entropy": ("Entropy of the experts' use", "Энтропия загрузки экспертов"),
    "entropy_axis": ("entropy (even use = 1)", "энтропия (равная доля = 1)"),
    "layer": ("layer {layer}", "слой {layer}"),
    "gradient": ("Gradient norm", "Норма градиента"),
    "gradient_axis": ("L2 norm before clipping", "L2-норма до обрезки"),
    "clip": ("Dotted: the clip at {clip:g}.", "Пунктир — обрезка на {clip:g}."),
    "rates": ("Learning rates", "Скорости обучения"),
    "rates_axis": ("learning rate, × 10⁻³", "скорость обучения, × 10⁻³"),
    "speed": ("Speed", "Скорость"),
    "speed_axis": ("rows per second", "строк в секунду"),
    "rest": ("{count} others", "ещё {count}"),
    "most_lines": (
        "Of {count} branches the {named} worst at the end are named.",
        "Из {count} веток названы {named} худших в конце.",
    ),
    # Experts
    "experts": ("Use of the experts", "Загрузка экспертов"),
    "use_of": ("Layer {layer}", "Слой {layer}"),
    "expert_axis": ("expert, number", "номер эксперта"),
    "share_axis": ("share of assignments, %", "доля токенов, %"),
    "use_means": (
        "Even use is {even:.3g} % (line on the scale, which is a square root). In the last tenth of the steps the most used "
        "expert has {most:.3g} %, the least used {least:.3g} %.",
        "Равная доля — {even:.3g} % (черта на шкале; шкала — квадратный корень). В последней десятой шагов у самого занятого "
        "эксперта {most:.3g} %, у самого свободного {least:.3g} %.",
    ),
    # Test rows
    "results": ("Test results", "Результаты на тесте"),
    "results_mean": (
        "Rows that were neither learnt from nor chosen by. ECE: mean distance between confidence and accuracy over 15 bins; "
        "“before” is at temperature 1. Answered: rows at or above the branch's threshold. Baseline: {baseline}.",
        "Строки, на которых не учились и по которым ничего не выбирали. ECE — среднее расхождение уверенности и точности по 15 "
        "интервалам; «до» — при температуре 1. «Отвечено» — доля строк, где оценка не ниже порога ветки. Базовая "
        "модель: {baseline}.",
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
    "confusion": ("Confusion on the test rows", "Матрица ошибок на тестовых строках"),
    "true_axis": ("true class", "истинный класс"),
    "answer_axis": ("answer", "ответ"),
    "true_number_axis": ("true class, number", "истинный класс, номер"),
    "answer_number_axis": ("answer, number of the class", "ответ, номер класса"),
    "confusion_axis": ("share of the true class, %", "доля истинного класса, %"),
    "confusion_counts": ("The cells count rows.", "В клетках — число строк."),
    "confusion_many": (
        "{count} classes, numbered from 0 in the order of the branch's labels; the scale is a square root.",
        "Классов: {count}, номера с 0 по порядку меток ветки; шкала — квадратный корень.",
    ),
    "pairs": ("{branch}: most confused", "{branch}: самые частые ошибки"),
    "no_pairs": ("No row was answered wrongly.", "Ни одной ошибки."),
    "rows": ("rows", "строк"),
    "share": ("of the class, %", "доля класса, %"),
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
        "Модели ещё нет, поэтому нет матрицы ошибок, калибровки, стоимости и результатов на тесте: запуск не "
        "завершён. Продолжить: "
        "iai train {detail} --resume",
    ),
    "ended": ("An error ended the training: {detail}", "Обучение прервала ошибка: {detail}"),
    "no_results": (
        "results.json is not there, hence no seconds: the run stopped while it was writing its results.",
        "Нет results.json, поэтому нет и времени: запуск остановился, когда записывал результаты.",
    ),
    "no_answers": (
        "The test rows could not be answered, hence no confusion and calibration: {detail}",
        "На тестовые строки не удалось ответить, поэтому нет матрицы ошибок и калибровки: {detail}",
    ),
    "no_test_rows": (
        "The run held out no test rows (data.test_fraction is 0), hence no confusion and calibration.",
        "В запуске не отложено тестовых строк (data.test_fraction равно 0), поэтому нет матрицы ошибок и калибровки.",
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


class _Numbers(Formatter):
    """str.format whose fractions are written as the language writes them."""

    def __init__(self, point: str) -> None:
        self._point = point

    def format_field(self, value: Any, format_spec: str) -> str:
        written = str(super().format_field(value, format_spec))
        return written.replace(".", self._point) if isinstance(value, float) else written


class Words:
    """`words("batch")` in one language; `words("layer", layer=2)` fills in values. Raises `UnknownNameError`."""

    def __init__(self, language: str = "en") -> None:
        if language not in LANGUAGES:
            raise UnknownNameError("language", language, LANGUAGES)
        self.language = language
        self._column = LANGUAGES.index(language)
        self._point, self._apart = (".", ",") if language == "en" else (",", "\N{NARROW NO-BREAK SPACE}")
        self._numbers = _Numbers(self._point)

    def __call__(self, key: str, **values: object) -> str:
        """The words for `key`."""
        return self._numbers.format(_WORDS[key][self._column], **values)

    def has(self, key: str) -> bool:
        """Whether there are words for `key`."""
        return key in _WORDS

    def count(self, number: float) -> str:
        """A whole number with its thousands apart: 12,288 in English, 12 288 in Russian."""
        return self.number(number, 0)

    def number(self, number: float, digits: int = 2) -> str:
        """A number with its thousands apart and so many digits after the point: 1,234.50 in English, 1 234,50 in Russian."""
        signs = {",": self._apart, ".": self._point}
        return "".join(signs.get(sign, sign) for sign in f"{number:,.{digits}f}")

    def percent(self, share: float | None, digits: int = 2) -> str:
        """A share of 1 as a number of hundredths, without the sign; a dash for None."""
        return "–" if share is None else self.number(100 * share, digits)

    def short(self, number: float) -> str:
        """A number as briefly as it can be written."""
        return f"{number:.6g}".replace(".", self._point)

    def moment(self, iso: str) -> str:
        """A date and time, given in ISO 8601: 2026-05-03 14:07 UTC in English, 03.05.2026 14:07 UTC in Russian."""
        try:
            when = datetime.fromisoformat(iso)
        except ValueError:
            return iso
        return when.strftime("%Y-%m-%d %H:%M %Z" if self.language == "en" else "%d.%m.%Y %H:%M %Z").strip()
