"""`iai plan explain`: what a setting does."""

import click

from interconnected_ai.cli.output import Output, with_output

_WORDS = {
    "en": ("default", "the document's", "at", "source"),
    "ru": ("по умолчанию", "в документе", "при", "источник"),
}


@click.command("explain")
@click.argument("name")
@click.option("--language", type=click.Choice(["en", "ru"]), default="en", show_default=True, help="Of the answer.")
@with_output
def command(name: str, language: str, output: Output) -> None:
    """What the setting NAME does, its default, and what happens at both ends. The document's names are known too."""
    from interconnected_ai.planner import explain

    found = explain(name)
    output.say(f"{found.section}.{found.name}", f"  {found.does.in_language(language)}")
    default, documents, at, source = _WORDS[language]
    meaning = f" ({found.default_means.in_language(language)})" if found.default_means else ""
    output.say(f"  {default}: {found.default}{meaning}")
    if found.document_default is not None:
        differs = f" ({found.differs.in_language(language)})" if found.differs else ""
        output.say(f"  {documents}: {found.document_default}{differs}")
    output.say(*(f"  {at} {end.value}: {end.in_language(language)}" for end in found.ends))
    if found.source:
        output.say(f"  {source}: {found.source}")
    output.result(
        {
            "name": found.name,
            "section": found.section,
            "does": found.does.in_language(language),
            "default": found.default,
            "document_default": found.document_default,
            "sensible": list(found.sensible),
            "ends": {str(end.value): end.in_language(language) for end in found.ends},
            "source": found.source,
        }
    )
