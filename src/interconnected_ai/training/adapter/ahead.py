"""What an adapter's training would stand on and learn from, before it begins: everything is read, nothing is written."""

from dataclasses import dataclass

from interconnected_ai.arguments import checked
from interconnected_ai.config import AdapterRunConfig
from interconnected_ai.data import Survey, Texts, survey
from interconnected_ai.experts import Base, find_base
from interconnected_ai.training.adapter.material import block_of, read_chats
from interconnected_ai.training.adapter.opening import open_tokenizer, window_of
from interconnected_ai.training.adapter.start import require_fitting
from interconnected_ai.training.chats import ChatCorpus, PreferenceCorpus


@dataclass(frozen=True)
class AdapterAhead:
    """window: tokens that the base reads at once; seq_len: of a block. corpus: the conversations or preferences, survey: the
    text; the other is None.
    """

    config: AdapterRunConfig
    base: Base
    window: int
    seq_len: int
    corpus: ChatCorpus | PreferenceCorpus | None = None
    survey: Survey | None = None


@checked
def look_ahead(config: AdapterRunConfig, base: Base | None = None) -> AdapterAhead:
    """Read the sources of a training as it would itself. base: found already.

    Raises `DataError` for what cannot be learnt from, what `find_base` raises, and as a training does where it would begin
    with another adapter that does not fit.
    """
    base = find_base(config.base) if base is None else base
    require_fitting(config, base)
    window = window_of(base)
    seq_len = block_of(config, window)
    if config.text is not None:
        return AdapterAhead(config, base, window, seq_len, survey=survey(Texts.of_config(config.text)))
    return AdapterAhead(config, base, window, seq_len, corpus=read_chats(config, base, open_tokenizer(base)))
