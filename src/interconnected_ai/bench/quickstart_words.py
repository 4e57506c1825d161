"""What the quickstart says on the screen, in English and in Russian."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """Sentences to be filled in with `format`, and the heads of tables."""

    training: str
    baselines: str
    twin: str
    growing: str
    scores: str
    branch: str
    methods: dict[str, str]
    added_title: str
    added: str
    jointly: str
    seconds: str
    accuracy: str
    margin: str
    time: str
    next: str
    example: str


ENGLISH = Words(
    training="Training on {count:,} texts of {names}, encoder {encoder} …",
    baselines="Baselines …",
    twin="Training the dense twin …",
    growing="Adding the branch {name} to the finished trunk, and training all {count} jointly from scratch to compare …",
    scores="Test rows: accuracy % / macro-F1 %",
    branch="branch",
    methods={
        "tfidf_svm": "TF-IDF + SVM",
        "frozen_logistic_regression": "frozen + logistic regression",
        "dense_twin": "dense twin",
        "system": "this system",
    },
    added_title="The branch {name}, added to the finished trunk",
    added="added",
    jointly="jointly from scratch",
    seconds="seconds",
    accuracy="test accuracy %",
    margin="Above the better of TF-IDF and logistic regression by {mean:+.2f} points on average ({each}).",
    time="Added in {share:.1f} % of the time of joint training. The other branches' outputs on the test rows: max |Δ| = "
    "{difference:g}.",
    next='The model is in {model}. Try: iai predict {run} "{example}", or over HTTP: iai serve {run}',
    example="Return the sum of array elements",
)

RUSSIAN = Words(
    training="Обучение на {count} текстах веток {names}, кодировщик {encoder} …",
    baselines="Другие способы …",
    twin="Обучение плотного двойника …",
    growing="Ветка {name} добавляется к готовому стволу, и для сравнения все {count} обучаются вместе с нуля …",
    scores="Тестовые строки: точность, % / macro-F1, %",
    branch="ветка",
    methods={
        "tfidf_svm": "TF-IDF + SVM",
        "frozen_logistic_regression": "кодировщик + логистическая регрессия",
        "dense_twin": "плотный двойник",
        "system": "эта система",
    },
    added_title="Ветка {name}, добавленная к готовому стволу",
    added="добавлена",
    jointly="вместе с нуля",
    seconds="секунды",
    accuracy="точность на тесте, %",
    margin="Выше лучшего из двух других способов (TF-IDF и логистическая регрессия) в среднем на {mean:+.2f} п. п. ({each}).",
    time="Добавлена за {share:.1f} % времени совместного обучения. Выходы остальных веток на тестовых строках: max |Δ| = "
    "{difference:g}.",
    next='Модель лежит в {model}. Попробуйте: iai predict {run} "{example}", а по HTTP: iai serve {run}',
    example="Введите правильный адрес электронной почты",
)

WORDS = {"en": ENGLISH, "ru": RUSSIAN}
