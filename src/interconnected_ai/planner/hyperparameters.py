"""What every tunable setting does, in English and Russian: default, sensible range, and what happens at both ends of it.

Defaults are read from `config.SystemConfig` and `config.TrainingConfig`; nothing here repeats them.
"""

from dataclasses import dataclass
from typing import Any, Literal

from interconnected_ai.config import Record, SystemConfig, TrainingConfig
from interconnected_ai.errors import UnknownNameError

Language = Literal["en", "ru"]
LANGUAGES: tuple[Language, ...] = ("en", "ru")


@dataclass(frozen=True)
class Text:
    """A sentence or two in both languages."""

    en: str
    ru: str

    def in_language(self, language: str) -> str:
        """The text in "en" or "ru"; raises `UnknownNameError` for another language."""
        if language not in LANGUAGES:
            raise UnknownNameError("language", language, LANGUAGES)
        return self.ru if language == "ru" else self.en


@dataclass(frozen=True)
class End:
    """A value at an end of the sensible range, or one of a few choices, and what happens there."""

    value: Any
    text: Text


@dataclass(frozen=True)
class Hyperparameter:
    """One setting. `ends`: the lowest and the highest sensible value, or all choices where there are only a few.

    aliases: the document's names (`000_…`). document_default: the document's value, None where it names none.
    differs: why ours is another one. default_means: what a default that is no number stands for. source: where it comes from.
    """

    name: str
    record: type[Record]
    does: Text
    ends: tuple[End, ...]
    aliases: tuple[str, ...] = ()
    document_default: Any = None
    differs: Text | None = None
    default_means: Text | None = None
    source: str = ""

    @property
    def default(self) -> Any:
        """The record's default."""
        return self.record.model_fields[self.name].default

    @property
    def section(self) -> str:
        """The part of a run's config that it stands in: "system" or "training"."""
        return "system" if self.record is SystemConfig else "training"

    @property
    def is_choice(self) -> bool:
        """Whether it is one of a few values and not a number in a range."""
        return not all(_is_number(end.value) for end in self.ends)

    @property
    def sensible(self) -> tuple[Any, ...]:
        """Lowest and highest sensible value, or the choices."""
        return tuple(end.value for end in self.ends)


def explain(name: str) -> Hyperparameter:
    """The setting of that name; the document's names (NUM_EXPERTS, LR_MoE, …) are known too, case does not count.

    Raises `UnknownNameError` with the nearest names first.
    """
    wanted = _plain(name)
    for known in HYPERPARAMETERS:
        if wanted in (_plain(alias) for alias in (known.name, *known.aliases)):
            return known
    raise UnknownNameError("hyperparameter", name, [known.name for known in HYPERPARAMETERS])


def _plain(name: str) -> str:
    """Without case, and without the section that people may write before it ("training.lr_moe")."""
    return name.strip().casefold().replace("-", "_").rpartition(".")[2]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# Fields of the records that are no knobs: they say what is built, where, and what is kept, and change no quality.
NOT_TUNED: dict[type[Record], tuple[str, ...]] = {
    SystemConfig: ("base_model_name", "ffn", "branches"),
    TrainingConfig: ("seed", "device", "feature_cache", "checkpoint_every_steps", "keep_checkpoints", "monitors"),
}

HYPERPARAMETERS: tuple[Hyperparameter, ...] = (
    # The system
    Hyperparameter(
        "num_experts",
        SystemConfig,
        Text(
            "How many FFN experts a shared layer has. More of them hold more, and cost memory but no time per token.",
            "Сколько экспертов (FFN) в общем слое. Чем их больше, тем больше слой вмещает; растёт память, но не время "
            "на токен.",
        ),
        (
            End(
                2,
                Text(
                    "hardly a mixture: with top_k 2 every token goes through every expert, as in a dense layer",
                    "смеси почти нет: при top_k 2 каждый токен проходит через всех экспертов, как в плотном слое",
                ),
            ),
            End(
                64,
                Text(
                    "few tokens are left for each expert: they learn slowly, some none at all; weights fill the memory",
                    "на каждого эксперта приходится мало токенов: они учатся медленно, а то и вовсе не учатся; веса "
                    "занимают память",
                ),
            ),
        ),
        aliases=("NUM_EXPERTS",),
        document_default=8,
        source="Shazeer et al. 2017; Fedus et al. 2021 (Switch), section 2",
    ),
    Hyperparameter(
        "top_k",
        SystemConfig,
        Text(
            "How many experts each token goes to. The time of a layer grows with it; the memory does not.",
            "К скольким экспертам идёт каждый токен. С ним растёт время слоя, но не память.",
        ),
        (
            End(
                1,
                Text(
                    "fastest; the router learns from one choice alone and balances less easily",
                    "быстрее всего; маршрутизатор учится лишь на одном выборе, и равновесие даётся труднее",
                ),
            ),
            End(
                4,
                Text(
                    "twice the time of 2, seldom twice the use; with all experts chosen the layer is a dense one",
                    "вдвое дольше, чем при 2, но редко вдвое полезнее; если выбраны все эксперты, слой становится плотным",
                ),
            ),
        ),
        aliases=("TOP_K", "k"),
        document_default=2,
        source="Shazeer et al. 2017 (k ≥ 2); Fedus et al. 2021 (k = 1)",
    ),
    Hyperparameter(
        "num_moe_layers",
        SystemConfig,
        Text(
            "How many shared layers stand between the encoder and the pooling. All branches use them.",
            "Сколько общих слоёв стоит между кодировщиком и пулингом. Ими пользуются все ветки.",
        ),
        (
            End(
                0,
                Text(
                    "branches work on the frozen encoder's vectors directly: fastest, nothing is shared but the encoder",
                    "ветки работают прямо с векторами замороженного кодировщика: быстрее всего, но общего нет ничего, "
                    "кроме кодировщика",
                ),
            ),
            End(
                4,
                Text(
                    "more room to learn, and to overfit: some thousand rows do not fill so many weights",
                    "больше места для обучения и для переобучения: несколько тысяч строк столько весов не заполнят",
                ),
            ),
        ),
        document_default=2,
        source="the document's architecture: MoE layer 1, MoE layer 2",
    ),
    Hyperparameter(
        "d_ff",
        SystemConfig,
        Text(
            "Hidden width of one expert. Parameters, memory and time of the shared layers grow in step with it.",
            "Скрытая ширина одного эксперта. Вместе с ней растут параметры, память и время общих слоёв.",
        ),
        (
            End(
                128,
                Text(
                    "small and fast, enough for some thousand rows; experts cannot hold much each",
                    "мало и быстро, хватает на несколько тысяч строк; каждый эксперт вмещает немного",
                ),
            ),
            End(
                3072,
                Text(
                    "slow, and overfits small data; needs hundreds of thousands of rows to pay",
                    "медленно и переобучается на малых данных; окупается при сотнях тысяч строк",
                ),
            ),
        ),
        default_means=Text("4 × the encoder's width", "4 × ширина кодировщика"),
        source="Vaswani et al. 2017 (4 × d_model)",
    ),
    Hyperparameter(
        "pooling",
        SystemConfig,
        Text(
            "How the vectors of a text's tokens become one vector.",
            "Как векторы токенов текста становятся одним вектором.",
        ),
        (
            End(
                "mean",
                Text(
                    "the average of all tokens; right for sentence encoders such as all-MiniLM-L6-v2",
                    "среднее по всем токенам; подходит кодировщикам предложений, таким как all-MiniLM-L6-v2",
                ),
            ),
            End(
                "cls",
                Text(
                    "the first token alone: the shared layers compute one position instead of all, far faster; only for "
                    "encoders that were trained for it",
                    "только первый токен: общие слои считают одну позицию вместо всех, намного быстрее; лишь для "
                    "кодировщиков, которых этому учили",
                ),
            ),
            End(
                "attention",
                Text(
                    "an average with learnt weights; starts as the mean, may find the words that matter",
                    "среднее с обучаемыми весами; начинает как обычное среднее, может найти важные слова",
                ),
            ),
        ),
        document_default="cls",
        differs=Text(
            "the embedded encoder was trained with mean pooling: on four tasks the first token's vector is 2 to 7 points "
            "worse. Set cls for encoders such as BERT or ELECTRA after fine-tuning",
            "встроенный кодировщик учили с усреднением: на четырёх задачах вектор первого токена хуже на 2–7 пунктов. "
            "Для кодировщиков вроде BERT или ELECTRA после дообучения поставьте cls",
        ),
        source="Reimers and Gurevych 2019, table 6; docs/log.md for our measurement",
    ),
    Hyperparameter(
        "max_seq_len",
        SystemConfig,
        Text(
            "Longest text in tokens; what is longer is cut off. Time grows with the tokens that are really there.",
            "Наибольшая длина текста в токенах; остальное отрезается. Время растёт с числом настоящих токенов.",
        ),
        (
            End(
                32,
                Text(
                    "fast; enough for requests to a bank or an assistant, too little for letters and articles",
                    "быстро; хватает для запросов к банку или помощнику, мало для писем и статей",
                ),
            ),
            End(
                512,
                Text(
                    "most encoders' limit; attention grows with the square of the length, the feature cache with the length",
                    "предел большинства кодировщиков; внимание растёт с квадратом длины, кэш признаков — с длиной",
                ),
            ),
        ),
        source="the encoder's own limit (max_position_embeddings)",
    ),
    Hyperparameter(
        "dropout",
        SystemConfig,
        Text(
            "Share of numbers set to zero at random while training, so that nothing relies on one of them.",
            "Доля чисел, случайно обнуляемых при обучении, чтобы ничто не зависело от одного из них.",
        ),
        (
            End(
                0.0,
                Text(
                    "learns fastest and overfits first; several processes then give one process's result",
                    "учится быстрее всего и раньше всего переобучается; зато несколько процессов дают тот же результат, "
                    "что и один",
                ),
            ),
            End(
                0.5,
                Text(
                    "little gets through: training is slow and accuracy falls",
                    "проходит мало: обучение медленное, точность падает",
                ),
            ),
        ),
        source="Srivastava et al. 2014; Devlin et al. 2019 (0.1)",
    ),
    Hyperparameter(
        "lora_rank",
        SystemConfig,
        Text(
            "Rank of each branch's adapter: how many directions a branch may change in the shared vector.",
            "Ранг адаптера каждой ветки: сколько направлений общего вектора ветка может изменить.",
        ),
        (
            End(
                1,
                Text(
                    "the smallest branch; it can hardly turn the shared vector its way",
                    "самая маленькая ветка; она почти не может повернуть общий вектор по-своему",
                ),
            ),
            End(
                64,
                Text(
                    "eight times the parameters of 8 and rarely more accuracy; overfits small branches",
                    "в восемь раз больше параметров, чем при 8, и редко больше точности; малые ветки переобучаются",
                ),
            ),
        ),
        aliases=("LORA_RANK",),
        document_default=8,
        source="Hu et al. 2021 (LoRA), section 7.2",
    ),
    Hyperparameter(
        "lora_alpha",
        SystemConfig,
        Text(
            "Strength of each branch's adapter: its output is multiplied by lora_alpha / lora_rank.",
            "Сила адаптера каждой ветки: его выход умножается на lora_alpha / lora_rank.",
        ),
        (
            End(
                1.0,
                Text(
                    "the adapter whispers and learns slowly, as with a lower lr_adapter",
                    "адаптер едва слышен и учится медленно, как при меньшем lr_adapter",
                ),
            ),
            End(
                64.0,
                Text(
                    "the adapter shouts: a branch becomes unstable, as with a higher lr_adapter",
                    "адаптер кричит: ветка теряет устойчивость, как при большем lr_adapter",
                ),
            ),
        ),
        source="Hu et al. 2021, section 4.1; twice the rank is custom",
    ),
    Hyperparameter(
        "encoder_lora_rank",
        SystemConfig,
        Text(
            "Rank of the one LoRA inside the encoder that all branches share. 0 leaves the encoder as it is.",
            "Ранг единственной LoRA внутри кодировщика, общей для всех веток. 0 оставляет кодировщик как есть.",
        ),
        (
            End(
                0,
                Text(
                    "the encoder is frozen: its outputs are computed once and kept, training is fast",
                    "кодировщик заморожен: его выходы считаются один раз и хранятся, обучение быстрое",
                ),
            ),
            End(
                64,
                Text(
                    "most accurate with enough rows; every step runs the encoder forward and backward, nothing is cached",
                    "точнее всего при достаточном числе строк; каждый шаг гоняет кодировщик вперёд и назад, кэша нет",
                ),
            ),
        ),
        source="Hu et al. 2021; docs/log.md: rank 16 gains 0.7 to 0.9 points on BANKING77 and CLINC150",
    ),
    Hyperparameter(
        "encoder_lora_alpha",
        SystemConfig,
        Text(
            "Strength of the LoRA inside the encoder: its output is multiplied by alpha / rank.",
            "Сила LoRA внутри кодировщика: её выход умножается на alpha / rank.",
        ),
        (
            End(
                8.0,
                Text("the encoder changes slowly", "кодировщик меняется медленно"),
            ),
            End(
                128.0,
                Text(
                    "the encoder may forget what it knew within the first steps",
                    "кодировщик может забыть то, что знал, за первые же шаги",
                ),
            ),
        ),
        source="Hu et al. 2021, section 4.1",
    ),
    # The training
    Hyperparameter(
        "epochs",
        TrainingConfig,
        Text(
            "Passes over the training rows. The learning rates fall to zero along them; patience may end the run earlier.",
            "Проходов по обучающим строкам. За них скорости обучения спадают до нуля; patience может кончить раньше.",
        ),
        (
            End(
                3,
                Text(
                    "too few for random heads, unless a head start has taught them",
                    "мало для случайных голов, если их не обучил head_start_epochs",
                ),
            ),
            End(
                100,
                Text(
                    "hours more for nothing, or for overfitting; the best epoch's weights are kept in any case",
                    "лишние часы впустую или на переобучение; в любом случае сохраняются веса лучшей эпохи",
                ),
            ),
        ),
        aliases=("NUM_EPOCHS",),
        document_default=50,
        source="Prechelt 1998 on stopping early",
    ),
    Hyperparameter(
        "batch_size",
        TrainingConfig,
        Text(
            "Rows of one optimiser step, over all processes and accumulation steps together. Every batch holds every branch.",
            "Строк в одном шаге оптимизатора, на все процессы и шаги накопления вместе. В каждом пакете есть все ветки.",
        ),
        (
            End(
                8,
                Text(
                    "noisy steps, and a branch with many classes sees few of them at once; slow on a GPU",
                    "шаги шумные, и ветка со многими классами видит за раз лишь немногие; на GPU медленно",
                ),
            ),
            End(
                512,
                Text(
                    "few steps in an epoch: raise the learning rates with it; memory grows in step",
                    "мало шагов за эпоху: вместе с ним поднимайте скорости обучения; память растёт так же",
                ),
            ),
        ),
        aliases=("BATCH_SIZE",),
        document_default=64,
        source="McCandlish et al. 2018; the document counts its 64 per GPU, here it is the whole step",
    ),
    Hyperparameter(
        "accumulation_steps",
        TrainingConfig,
        Text(
            "Parts that a process computes one after another before it steps. The result is the same, the memory is smaller.",
            "На сколько частей процесс делит пакет, считая их по очереди. Результат тот же, памяти нужно меньше.",
        ),
        (
            End(1, Text("the whole batch at once: fastest", "весь пакет сразу: быстрее всего")),
            End(
                16,
                Text(
                    "small parts fit into little memory and use the device poorly; must divide batch_size",
                    "малые части умещаются в малую память, но плохо нагружают устройство; должно делить batch_size",
                ),
            ),
        ),
        source="Accelerate's gradient accumulation",
    ),
    Hyperparameter(
        "head_start_epochs",
        TrainingConfig,
        Text(
            "Epochs in which adapters and heads learn alone, on vectors computed once, before everything learns together.",
            "Эпохи, в которые адаптеры и головы учатся одни, на заранее вычисленных векторах, до совместного обучения.",
        ),
        (
            End(
                0,
                Text(
                    "random heads pull the shared layers the wrong way in the first steps; several joint epochs repair that",
                    "случайные головы в первые шаги тянут общие слои не туда; это чинят несколько совместных эпох",
                ),
            ),
            End(
                50,
                Text(
                    "the heads settle on vectors that are about to change; cheap, but no longer of use",
                    "головы привыкают к векторам, которые вот-вот изменятся; дёшево, но уже без пользы",
                ),
            ),
        ),
        source="Kumar et al. 2022 (LP-FT); docs/log.md: 87.4 against 92.8 % after 3 epochs",
    ),
    Hyperparameter(
        "lr_moe",
        TrainingConfig,
        Text(
            "Learning rate of the shared layers: routers, experts, norms and pooling.",
            "Скорость обучения общих слоёв: маршрутизаторов, экспертов, нормировок и пулинга.",
        ),
        (
            End(
                1e-5,
                Text(
                    "the shared layers stay near what they began as, the encoder's vectors handed on",
                    "общие слои остаются почти такими, как в начале: просто передают векторы кодировщика",
                ),
            ),
            End(
                3e-3,
                Text(
                    "the loss jumps or becomes infinite, and routers collapse onto a few experts",
                    "функция потерь скачет или уходит в бесконечность, маршрутизаторы сходятся к немногим экспертам",
                ),
            ),
        ),
        aliases=("LR_MoE",),
        document_default=1e-4,
        source="Loshchilov and Hutter 2019 (AdamW); Zoph et al. 2022 (ST-MoE) on instability",
    ),
    Hyperparameter(
        "lr_adapter",
        TrainingConfig,
        Text(
            "Learning rate of the branches' adapters.",
            "Скорость обучения адаптеров веток.",
        ),
        (
            End(
                1e-5,
                Text(
                    "adapters, which begin as nothing, stay nothing",
                    "адаптеры, которые начинают с нуля, нулём и остаются",
                ),
            ),
            End(
                5e-3,
                Text(
                    "a branch's accuracy swings from epoch to epoch or falls: the document's remedy is to lower this rate",
                    "точность ветки скачет от эпохи к эпохе или падает: документ советует снизить эту скорость",
                ),
            ),
        ),
        aliases=("LR_ADAPTER",),
        document_default=5e-4,
        source="Hu et al. 2021, appendix D: rates some ten times those of full fine-tuning",
    ),
    Hyperparameter(
        "lr_head",
        TrainingConfig,
        Text(
            "Learning rate of the branches' heads, which begin at random and therefore learn fastest.",
            "Скорость обучения голов веток: они начинают случайными и потому учатся быстрее всего.",
        ),
        (
            End(
                1e-4,
                Text(
                    "heads lag behind, and rare classes are never answered",
                    "головы отстают, редкие классы так и не появляются в ответах",
                ),
            ),
            End(
                3e-2,
                Text(
                    "heads grow overconfident within an epoch and push the shared layers about",
                    "головы за одну эпоху становятся самоуверенными и раскачивают общие слои",
                ),
            ),
        ),
        aliases=("LR_HEAD",),
        document_default=1e-3,
        source="Kingma and Ba 2015 (Adam's 1e-3)",
    ),
    Hyperparameter(
        "lr_encoder_lora",
        TrainingConfig,
        Text(
            "Learning rate of the LoRA inside the encoder; without one it has no effect.",
            "Скорость обучения LoRA внутри кодировщика; без неё ни на что не влияет.",
        ),
        (
            End(1e-5, Text("the encoder hardly changes", "кодировщик почти не меняется")),
            End(
                3e-3,
                Text(
                    "the encoder forgets its language and the loss jumps",
                    "кодировщик забывает язык, функция потерь скачет",
                ),
            ),
        ),
        source="Hu et al. 2021, appendix D (2e-4 to 5e-4 for RoBERTa)",
    ),
    Hyperparameter(
        "weight_decay",
        TrainingConfig,
        Text(
            "How strongly AdamW pulls weights towards zero at every step, times the learning rate.",
            "Как сильно AdamW на каждом шаге тянет веса к нулю, помноженное на скорость обучения.",
        ),
        (
            End(
                0.0,
                Text(
                    "weights may grow freely; small data is learnt by heart",
                    "веса растут свободно; малые данные заучиваются наизусть",
                ),
            ),
            End(
                0.3,
                Text(
                    "weights shrink faster than they learn: the training loss stays high",
                    "веса убывают быстрее, чем учатся: потери на обучении остаются высокими",
                ),
            ),
        ),
        aliases=("WEIGHT_DECAY",),
        document_default=0.01,
        source="Loshchilov and Hutter 2019",
    ),
    Hyperparameter(
        "gradient_clip",
        TrainingConfig,
        Text(
            "Largest norm of the whole gradient; a longer one is scaled down to it before the step.",
            "Наибольшая норма всего градиента; более длинный перед шагом сжимается до неё.",
        ),
        (
            End(
                0.1,
                Text(
                    "every step is cut to one length: steady and slow; AdamW evens out most of it",
                    "каждый шаг обрезан до одной длины: ровно и медленно; большую часть этого AdamW выравнивает",
                ),
            ),
            End(
                10.0,
                Text(
                    "rare huge gradients get through and the loss jumps; the document would raise it then, which is worse",
                    "редкие огромные градиенты проходят, потери скачут; документ советует тогда его поднять, но от этого хуже",
                ),
            ),
        ),
        aliases=("GRADIENT_CLIP",),
        document_default=1.0,
        source="Pascanu et al. 2013",
    ),
    Hyperparameter(
        "warmup_steps",
        TrainingConfig,
        Text(
            "Steps in which the learning rates rise from zero, before they fall along a cosine. At most a tenth of the run.",
            "За сколько шагов скорости обучения растут от нуля, прежде чем спадать по косинусу. Не больше десятой части.",
        ),
        (
            End(
                0,
                Text(
                    "full rates meet Adam's empty averages: the first steps may spoil routers and encoder",
                    "полные скорости встречают пустые средние Adam: первые шаги могут испортить маршрутизаторы и кодировщик",
                ),
            ),
            End(
                2000,
                Text(
                    "most of a short run would pass in warming up, therefore the limit of a tenth",
                    "большая часть короткого запуска ушла бы на разогрев, потому и стоит предел в десятую часть",
                ),
            ),
        ),
        aliases=("WARMUP_STEPS",),
        document_default=500,
        source="Goyal et al. 2017; Vaswani et al. 2017",
    ),
    Hyperparameter(
        "balance_loss_weight",
        TrainingConfig,
        Text(
            "Weight of the load-balancing loss, which pulls the routers towards using all experts alike.",
            "Вес потери равновесия, которая заставляет маршрутизаторы нагружать экспертов поровну.",
        ),
        (
            End(
                0.0,
                Text(
                    "a few experts get every token and the others never learn",
                    "несколько экспертов получают все токены, остальные так и не учатся",
                ),
            ),
            End(
                0.1,
                Text(
                    "experts are used evenly whatever the text: they become alike and the task suffers",
                    "эксперты нагружены ровно при любом тексте: они становятся одинаковыми, задача страдает",
                ),
            ),
        ),
        aliases=("AUX_LOSS_WEIGHT",),
        document_default=0.01,
        source="Shazeer et al. 2017; Fedus et al. 2021 (1e-2); libraries that count per token need 1/k of it (docs/moe.md)",
    ),
    Hyperparameter(
        "z_loss_weight",
        TrainingConfig,
        Text(
            "Weight of the router's z loss, which keeps its logits small.",
            "Вес z-потери маршрутизатора, которая удерживает его логиты малыми.",
        ),
        (
            End(
                0.0,
                Text(
                    "off; in float32 at small sizes nothing is missed",
                    "выключена; в float32 и при малых размерах не нужна",
                ),
            ),
            End(
                0.01,
                Text(
                    "logits are pressed together and the router can no longer choose",
                    "логиты прижаты друг к другу, и маршрутизатор уже не может выбирать",
                ),
            ),
        ),
        source="Zoph et al. 2022 (ST-MoE), eq. 5 (1e-3)",
    ),
    Hyperparameter(
        "label_smoothing",
        TrainingConfig,
        Text(
            "Share of the target that is spread over all classes, so that no answer has to be certain.",
            "Доля цели, размазанная по всем классам, чтобы ни один ответ не обязан был быть уверенным.",
        ),
        (
            End(
                0.0,
                Text(
                    "heads may become overconfident; the temperature, fitted afterwards, corrects the confidences",
                    "головы могут стать самоуверенными; уверенность потом поправляет подобранная температура",
                ),
            ),
            End(
                0.3,
                Text(
                    "confidences are low and the threshold for unknown texts separates worse",
                    "уверенность низкая, и порог для незнакомых текстов разделяет хуже",
                ),
            ),
        ),
        source="Szegedy et al. 2016; Müller et al. 2019",
    ),
    Hyperparameter(
        "class_weights",
        TrainingConfig,
        Text(
            "Whether rows of rare classes count more in the loss.",
            "Весят ли строки редких классов в функции потерь больше.",
        ),
        (
            End(
                "balanced",
                Text(
                    "a class counts with 1/√(its rows): rare classes are learnt, macro-F1 rises",
                    "класс весит 1/√(числа его строк): редкие классы выучиваются, макро-F1 растёт",
                ),
            ),
            End(
                "none",
                Text(
                    "every row counts alike: highest plain accuracy where test rows are as uneven as the training rows",
                    "все строки весят одинаково: выше простая точность, если тест так же неравномерен, как обучение",
                ),
            ),
        ),
        source="inverse frequency, damped by the square root",
    ),
    Hyperparameter(
        "patience",
        TrainingConfig,
        Text(
            "Epochs without a better mean validation accuracy before the run stops; null never stops early.",
            "Эпох без улучшения средней точности на проверке, после которых запуск прекращается; null — никогда.",
        ),
        (
            End(
                1,
                Text(
                    "a run may stop at the first unlucky epoch",
                    "запуск может остановиться на первой же неудачной эпохе",
                ),
            ),
            End(
                20,
                Text(
                    "hardly ever stops: the time of all epochs is paid",
                    "почти никогда не останавливается: время всех эпох будет потрачено",
                ),
            ),
        ),
        source="Prechelt 1998",
    ),
    Hyperparameter(
        "precision",
        TrainingConfig,
        Text(
            "The number format of the matrix products. Weights and optimiser states stay in float32.",
            "Формат чисел в матричных произведениях. Веса и состояния оптимизатора остаются в float32.",
        ),
        (
            End(
                "auto",
                Text(
                    "measures the device and takes bfloat16 where it is clearly faster",
                    "измеряет устройство и берёт bfloat16 там, где он явно быстрее",
                ),
            ),
            End(
                "float32",
                Text(
                    "exact and works everywhere; slowest on GPUs with tensor cores",
                    "точно и работает везде; медленнее всего на GPU с тензорными ядрами",
                ),
            ),
            End(
                "bfloat16",
                Text(
                    "fast on GPUs since Ampere and on CPUs with AVX512-BF16 or AMX; slow where it is emulated",
                    "быстро на GPU начиная с Ampere и на CPU с AVX512-BF16 или AMX; медленно там, где эмулируется",
                ),
            ),
            End(
                "float16",
                Text(
                    "CUDA alone, with loss scaling; for cards without bfloat16 such as T4 and V100",
                    "только CUDA, с масштабированием потерь; для карт без bfloat16, таких как T4 и V100",
                ),
            ),
        ),
        source="Micikevicius et al. 2018; Kalamkar et al. 2019",
    ),
    Hyperparameter(
        "cache_features",
        TrainingConfig,
        Text(
            "Whether the frozen encoder's outputs are kept on disk after they were computed once.",
            "Хранить ли на диске однажды вычисленные выходы замороженного кодировщика.",
        ),
        (
            End(
                True,
                Text(
                    "epochs after the first cost the shared layers alone; takes disk: 4 bytes × width × tokens",
                    "эпохи после первой стоят лишь общих слоёв; занимает диск: 4 байта × ширина × токены",
                ),
            ),
            End(
                False,
                Text(
                    "the encoder runs in every epoch; no disk is needed. With an encoder LoRA there is nothing to keep",
                    "кодировщик работает в каждой эпохе; диск не нужен. С LoRA в кодировщике хранить нечего",
                ),
            ),
        ),
        source="the encoder is frozen in the document's architecture, so its outputs never change",
    ),
)
