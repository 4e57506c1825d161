"""Before the training of a language model's adapter: the base is found, the rows are read and rendered, nothing is written."""

import os
from collections.abc import Callable

from interconnected_ai.config import AdapterRunConfig
from interconnected_ai.doctor import thresholds as limit
from interconnected_ai.doctor.ahead import Check
from interconnected_ai.doctor.checklist import monitoring_on
from interconnected_ai.errors import InterconnectedAIError
from interconnected_ai.experts import find_base
from interconnected_ai.training import AdapterAhead, look_ahead, refuse_taken_adapter

_SHARE_OF_A_LANGUAGE = 0.1  # of the documents, to be worth a word
_CODES = {"Russian": "ru", "English": "en"}


def adapter_checklist(config: AdapterRunConfig) -> list[Check]:
    """Everything that can be known of an adapter's training before it begins. The base's weights are not loaded."""
    checks = [_batch_for_all(config), monitoring_on(config.training.monitors), _output_free(config)]
    try:
        base = find_base(config.base)
    except InterconnectedAIError as error:
        return [Check("base is there", "fails", str(error), "name a base that is"), *checks]
    size = f"{base.num_bytes / 1e6:,.0f} MB, SHA-256 {base.sha256[:12]}…"
    found = Check("base is there", "ok", f"{base.path}, {size}")
    try:
        ahead = look_ahead(config, base)
    except InterconnectedAIError as error:
        remedy = "put the files, or what the config says of them, right"
        return [found, Check("rows can be read", "fails", str(error), remedy), *checks]
    return [found, *(check for look in _LOOKS if (check := look(ahead)) is not None), *checks]


def _rows_read(ahead: AdapterAhead) -> Check:
    name = "rows can be read"
    if ahead.survey is not None:
        told = [f"{side.name} {side.num_documents:,}" for side in ahead.survey.report.sides]
        return Check(name, "ok", f"documents: {', '.join(told)}")
    assert ahead.corpus is not None, "text or conversations are read"
    sides = ahead.corpus.facts["sides"]
    return Check(name, "ok", "examples: " + ", ".join(f"{side} {one['num_examples']:,}" for side, one in sides.items()))


def _held_out(ahead: AdapterAhead) -> Check:
    name = "something is held out"
    if ahead.survey is not None:
        number = ahead.survey.report.sides[1].num_documents
    else:
        assert ahead.corpus is not None, "text or conversations are read"
        number = len(ahead.corpus.validation)
    if number:
        return Check(name, "ok", f"{number:,} to choose the best weights by")
    remedy = "give more rows, a larger validation_fraction, or a file of its own"
    return Check(name, "warning", "nothing: the last weights are kept, and learning by heart goes unseen", remedy)


def _block_fits(ahead: AdapterAhead) -> Check:
    name, wanted = "block fits the window", ahead.config.training.seq_len
    if wanted is not None and wanted > ahead.window:
        changes = {"training.seq_len": ahead.window}
        told = f"seq_len {wanted:,}, the base reads {ahead.window:,} tokens at once; blocks will have that many"
        return Check(name, "warning", told, f"set seq_len to {ahead.window:,}", changes)
    return Check(name, "ok", f"{ahead.seq_len:,} of {ahead.window:,} tokens")


def _rows_fit(ahead: AdapterAhead) -> Check | None:
    """Documents are read in pieces; a conversation is one example."""
    if ahead.corpus is None:
        return None
    name, longest = "conversations fit a block", ahead.corpus.facts["sides"]["train"]["longest"]
    cut = next((remark for remark in ahead.corpus.remarks if remark.name == "answers whole"), None)
    if cut is None:
        return Check(name, "ok", f"the longest has {longest:,} of {ahead.seq_len:,} tokens")
    if ahead.corpus.share_cut <= limit.CUT_CHATS.value:
        return Check(name, "ok", cut.evidence)
    return Check(name, "warning", cut.evidence, f"{cut.remedy}: the base reads {ahead.window:,} tokens")


def _answers_learnt(ahead: AdapterAhead) -> Check | None:
    """How much of it there is a loss on; rows without any are refused when they are read."""
    if ahead.corpus is None:
        return None
    name, train = "answers are learnt", ahead.corpus.facts["sides"]["train"]
    told = f"{train['num_counted']:,} of {train['num_tokens']:,} tokens are answers"
    if train["num_counted"] < limit.COUNTED.value * train["num_tokens"]:
        return Check(name, "warning", told, "shorten the questions, or put several into one conversation")
    return Check(name, "ok", told)


def _answers_end(ahead: AdapterAhead) -> Check | None:
    return _remarked(ahead, "answers end", "every answer ends with a token that ends it")


def _examples_enough(ahead: AdapterAhead) -> Check | None:
    number = 0 if ahead.corpus is None else len(ahead.corpus.train)
    return _remarked(ahead, "examples enough", f"{number:,} to learn from")


def _remarked(ahead: AdapterAhead, name: str, otherwise: str) -> Check | None:
    if ahead.corpus is None:
        return None
    found = next((remark for remark in ahead.corpus.remarks if remark.name == name), None)
    return Check(name, "ok", otherwise) if found is None else Check(name, "warning", found.evidence, found.remedy)


def _language_read(ahead: AdapterAhead) -> Check | None:
    """Whether the base says that it reads the language of the rows; None where it says nothing, or none is known."""
    name, able, wanted = "base reads the language", ahead.base.languages, _languages(ahead)
    if not able or not wanted:
        return None
    foreign = [language for language in wanted if language not in able]
    told = f"the rows are {', '.join(wanted)}, the base says {', '.join(able)}"
    if not foreign:
        return Check(name, "ok", told)
    remedy = "an adapter teaches a subject, hardly a language: name a base that reads it"
    return Check(name, "warning", told, remedy)


def _languages(ahead: AdapterAhead) -> tuple[str, ...]:
    if ahead.corpus is not None:
        return ahead.corpus.portrait.languages
    assert ahead.survey is not None, "text or conversations are read"
    found = ahead.survey.report.total.languages
    whole = sum(found.values())
    return tuple(_CODES[one] for one, n in found.items() if one in _CODES and n >= _SHARE_OF_A_LANGUAGE * whole)


def _batch_for_all(config: AdapterRunConfig) -> Check:
    name, training = "batch for all parts", config.training
    parts = training.accumulation_steps * int(os.environ.get("WORLD_SIZE", "1"))
    unit = "pairs" if config.preferences is not None else "blocks"
    told = f"{training.batch_size} {unit} in a step over {parts} {'part' if parts == 1 else 'parts'}"
    if training.batch_size < parts:
        changes = {"training.batch_size": parts}
        return Check(name, "fails", told, f"set batch_size to {parts}, or lower accumulation_steps", changes)
    return Check(name, "ok", told)


def _output_free(config: AdapterRunConfig) -> Check:
    try:
        refuse_taken_adapter(config)
    except InterconnectedAIError as error:
        remedy = "start with --resume or --overwrite, or name another output"
        return Check("output folder free", "warning", str(error), remedy)
    return Check("output folder free", "ok", config.output)


_LOOKS: tuple[Callable[[AdapterAhead], Check | None], ...] = (
    _rows_read, _held_out, _block_fits, _rows_fit, _answers_learnt, _answers_end, _examples_enough, _language_read,
)  # fmt: skip
