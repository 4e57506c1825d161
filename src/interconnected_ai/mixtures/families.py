"""The families: one row each, with what the structure of modules and the shapes of tensors cannot say.

A family that transformers knows and that is in no row has its reason in `REFUSED`; a test walks transformers' own list.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mixture:
    """One family of mixtures of experts, by the names of transformers 5.

    model_types: what config.json calls it, the text model of a wrapper included. rule: how its routers choose, a name that
    surgery knows. count_keys, top_k_keys: what config.json calls the number of routed FFN experts and how many of them a token
    takes, transformers' present name first. d_ff_key: the inner width of one of them.
    matrix: the router's matrix, (experts, d_model), below the router. correction: a number for each expert that only the
    choice sees, below the block; "" without. scale: a factor for each expert, below the router; "" without.
    transposed: stacked matrices are (experts, in, out); on_disk_alone: they are so in checkpoints alone.
    dense: model types of dense models whose layers fit into it.
    """

    name: str
    model_types: tuple[str, ...]
    rule: str
    count_keys: tuple[str, ...] = ("num_experts", "num_local_experts")
    top_k_keys: tuple[str, ...] = ("num_experts_per_tok",)
    d_ff_key: str = "moe_intermediate_size"
    matrix: str = "weight"
    correction: str = ""
    scale: str = ""
    transposed: bool = False
    on_disk_alone: bool = False
    dense: tuple[str, ...] = ()

    @property
    def stored_transposed(self) -> bool:
        """Whether stacked matrices are (experts, in, out) in a checkpoint."""
        return self.transposed or self.on_disk_alone


_NAMED = ("num_experts", "num_local_experts")
_LOCAL = ("num_local_experts", "num_experts")
_ROUTED = ("n_routed_experts", "num_local_experts", "num_experts")
_TAKEN = ("num_experts_per_tok",)
_WIDE = "intermediate_size"
_BIAS = "gate.e_score_correction_bias"


def _deepseek_v3(name: str, *model_types: str, count_keys: tuple[str, ...] = _ROUTED) -> Mixture:
    """A family whose routers choose as DeepSeek-V3's do."""
    return Mixture(name, model_types, "deepseek_v3", count_keys, correction=_BIAS)


def _granite(name: str, *model_types: str) -> Mixture:
    return Mixture(name, model_types, "granite", _LOCAL, d_ff_key=_WIDE)


MIXTURES = (
    Mixture("Qwen3-MoE", ("qwen3_moe",), "softmax", dense=("qwen3",)),
    Mixture("Qwen3-VL-MoE", ("qwen3_vl_moe_text", "qwen3_vl_moe"), "softmax renormalised", on_disk_alone=True),
    Mixture("Qwen3-Omni-MoE", ("qwen3_omni_moe_text", "qwen3_omni_moe_thinker"), "softmax"),
    Mixture("Qwen2-MoE", ("qwen2_moe",), "softmax"),
    Mixture("Qwen3.5-MoE", ("qwen3_5_moe_text", "qwen3_5_moe"), "softmax renormalised"),
    Mixture("Qwen3-Next", ("qwen3_next",), "softmax"),
    Mixture("Qwen4-Exp", ("qwen4_exp_text", "qwen4_exp"), "softmax"),
    Mixture("Mixtral", ("mixtral",), "mixtral", _LOCAL, d_ff_key=_WIDE, dense=("mistral", "llama")),
    Mixture("OLMoE", ("olmoe",), "softmax", d_ff_key=_WIDE),
    Mixture("FlexOlmo", ("flex_olmo",), "softmax", d_ff_key=_WIDE),
    Mixture("Mellum", ("mellum",), "softmax", _LOCAL),
    Mixture("DeepSeek-V2", ("deepseek_v2",), "deepseek_v2", _ROUTED),
    _deepseek_v3("DeepSeek-V3", "deepseek_v3", "kimi_k2"),
    _deepseek_v3("DeepSeek-V3.2", "deepseek_v32"),
    Mixture("DeepSeek-V4", ("deepseek_v4",), "own score, corrected", _ROUTED, correction=_BIAS),
    _deepseek_v3("GLM4-MoE", "glm4_moe"),
    _deepseek_v3("GLM4-MoE-Lite", "glm4_moe_lite"),
    _deepseek_v3("GLM-MoE-DSA", "glm_moe_dsa"),
    _deepseek_v3("dots.llm1", "dots1"),
    _deepseek_v3("dots3-note", "dots3_note_text", "dots3_note"),
    Mixture(
        "Bailing-Hybrid", ("bailing_hybrid",), "deepseek_v3", ("num_local_experts", "num_experts"),
        ("num_experts_per_tok", "num_experts_per_token"), correction=_BIAS,
    ),
    Mixture(
        "Kimi-Linear", ("kimi_linear",), "deepseek_v3", ("num_local_experts", "num_experts"),
        ("num_experts_per_tok", "num_experts_per_token"), correction=_BIAS,
    ),
    _deepseek_v3("EXAONE-MoE", "exaone_moe", count_keys=_NAMED),
    _deepseek_v3("Solar-Open", "solar_open"),
    _deepseek_v3("MiMo-V2-Flash", "mimo_v2_flash"),
    _deepseek_v3("Hy-V4", "hy_v4"),
    _deepseek_v3("A.X-K1", "axk1"),
    Mixture("A.X-K2", ("axk2",), "deepseek_v3, zeros", _ROUTED, correction=_BIAS),
    Mixture("Nemotron-H", ("nemotron_h",), "deepseek_v3", _ROUTED, correction=_BIAS),
    Mixture("BEAM", ("beam",), "deepseek_v3, sorted", correction=_BIAS),
    Mixture("Hy-V3", ("hy_v3",), "sigmoid corrected, scaled", correction="e_score_correction_bias"),
    Mixture(
        "MiniMax-M2", ("minimax_m2",), "sigmoid corrected", _LOCAL, d_ff_key=_WIDE,
        correction="e_score_correction_bias",
    ),
    Mixture(
        "MiniMax-M3", ("minimax_m3_vl_text", "minimax_m3_vl"), "sigmoid corrected", _LOCAL, d_ff_key=_WIDE,
        correction=_BIAS,
    ),
    Mixture("MiniMax", ("minimax",), "mixtral", _LOCAL, d_ff_key=_WIDE),
    Mixture("AFMoE", ("afmoe",), "afmoe", matrix="gate.weight", correction="expert_bias"),
    Mixture("LFM2-MoE", ("lfm2_moe",), "lfm2", correction="expert_bias"),
    Mixture("Laguna", ("laguna",), "laguna", correction=_BIAS),
    Mixture("Flint", ("flint",), "flint"),
    Mixture("Kolibri", ("kolibri1",), "kolibri", _LOCAL, correction=_BIAS),
    Mixture("Inkling 2", ("inkling2_text", "inkling2"), "own score, corrected, float32", _ROUTED, correction=_BIAS),
    Mixture(
        "ERNIE-4.5-MoE", ("ernie4_5_moe",), "ernie", ("num_experts", "moe_num_experts"),
        ("num_experts_per_tok", "moe_k"), correction="gate.moe_statics.e_score_correction_bias",
    ),
    Mixture("HunYuan-MoE", ("hunyuan_v1_moe",), "hunyuan", _NAMED, ("num_experts_per_tok", "moe_topk"), _WIDE, "wg.weight"),
    Mixture("Jamba", ("jamba",), "softmax as it is", d_ff_key=_WIDE),
    Mixture("gpt-oss", ("gpt_oss",), "top-k softmax", _LOCAL, d_ff_key=_WIDE, transposed=True),
    Mixture("Aria", ("aria_text", "aria"), "top-k softmax", ("moe_num_experts",), ("moe_topk",), _WIDE, transposed=True),
    Mixture("Cohere2-MoE", ("cohere2_moe",), "cohere", d_ff_key=_WIDE),
    Mixture("Phi-MoE", ("phimoe",), "sparsemixer", _LOCAL, d_ff_key=_WIDE),
    _granite("GraniteMoE", "granitemoe"),
    _granite("GraniteMoE-Hybrid", "granitemoehybrid"),
    _granite("GraniteMoE-Shared", "granitemoeshared"),
    _granite("GraniteMoE-SWA", "granitemoe_swa"),
    Mixture("Llama 4", ("llama4_text", "llama4"), "llama4", _LOCAL, d_ff_key=_WIDE, transposed=True),
    Mixture(
        "Gemma 4", ("gemma4_text", "gemma4"), "gemma4", ("num_experts",), ("top_k_experts",), matrix="proj.weight",
        scale="per_expert_scale",
    ),
)  # fmt: skip

# model type → why no operation can be done on it
REFUSED = {
    "dbrx": "its experts lie in one flat matrix without an axis for them, and its block chooses in place of the router",
    "doge": "its experts are rows of an embedding that keys retrieve, not feed-forward blocks behind a router",
    "inkling_text": "its router's matrix also weighs the shared experts, whose rows stand behind those of the routed ones",
    "jetmoe": "its router gives tokens sorted by expert instead of a choice, and its attention is a mixture too",
    "longcat_flash": "some of its experts compute nothing, and its two stacks differ in length",
    "zaya": "its router is a network with a state that goes from layer to layer, and one choice is to skip the experts",
}
