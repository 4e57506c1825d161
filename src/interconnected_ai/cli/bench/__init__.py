"""`iai bench`: the numbers that the README quotes. One file a measurement, imported when it is called."""

import click

from interconnected_ai.cli import Verbs

VERBS = {
    "moe": "The MoE layer against dense feed-forwards and against transformers' own block.",
    "branches": "One batch through many branches, on our trunk and with PEFT.",
    "grow": "A branch added after training against the same branch trained jointly.",
    "headline": "The document's table, MoE system and dense twin, measured, beside what the document claims.",
    "classify": "Public data sets learnt by the defaults of `iai train`, against TF-IDF and logistic regression.",
    "routing": "Routers on public data sets: rules, nearest examples, learned, TF-IDF; out of scope, latency.",
    "council": "A council against what it is to replace: experts from one seed, adapters of one base; what a turn costs.",
    "plan": "The planner against this machine: step time and peak memory, predicted and measured.",
    "memory": "The memory: evidence within budgets, time, bytes, against peers and against its goals.",
    "facts": "The facts that rules find in labelled sentences, English and Russian: precision, recall, and what they make up.",
    "generate": "Every engine that is installed against transformers' generate, 29M parameters, 64 + 128 tokens.",
    "batching": "16 streams made together beside one, and 32 callers of a classifier beside one list of texts.",
    "train": "A training step of the 29M expert against transformers' GPT-2 of the same shape.",
    "adapters": "A pretrained base and adapters over it: bytes, switching, mixed batches, generation, chat, training, quality.",
    "pool": "Experts within a budget of bytes: hits and waits against LRU and Belady, private memory, a cold expert's start.",
    "serve": "A server beside the engine that it serves: tokens a second, latency, health under load.",
    "surgery": "Operations by family, adapters of single experts beside PEFT's, experts in 4 bits, rules in the router.",
    "norm": "Post-norm against pre-norm: the same text and steps, each at its best learning rate.",
    "growth": "How the work of every public verb grows with its input: an exponent each, none above 1.2.",
    "gpu": "Everything that needs a GPU, part by part within eight minutes; a check with tiny shapes where there is none.",
    "tokenizer": "Tokens per word of Russian text that the vocabulary was not trained on, by source.",
}


@click.group("bench", cls=Verbs, room=__name__, verbs=VERBS)
def command() -> None:
    """Measure the numbers that the README quotes: ratios, side by side in one run, medians."""
