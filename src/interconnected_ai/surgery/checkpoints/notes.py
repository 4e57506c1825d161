"""What stands beside an edited model for people and for replaying: SURGERY.md and the recipe of what was done."""

from pathlib import Path

from interconnected_ai.surgery.operations.history import RECIPE, Recipe, Step

NOTE = "SURGERY.md"


def write_notes(folder: Path, recipe: Recipe, words: str | None) -> None:
    """Write both; without any step there is no recipe. words: what `from_pretrained` would not give, None if nothing."""
    if recipe.steps or recipe.lacks:
        recipe.save(folder / RECIPE)
    (folder / NOTE).write_text(_note(recipe, words), encoding="utf-8")


def _note(recipe: Recipe, words: str | None) -> str:
    lines = ["# Edited with interconnected_ai.surgery", ""]
    lines.append(
        f"**{words}.**" if words else "An ordinary Hugging Face checkpoint: `from_pretrained` gives the same model."
    )
    lines += ["", "```python", "from interconnected_ai import surgery", "session = surgery.open(FOLDER)", "```", ""]
    if recipe.lacks:
        lines += [f"`{RECIPE}` lacks {', '.join(recipe.lacks)}: replayed, it gives another model.", ""]
    if recipe.steps:
        lines += [f"Steps since it was opened (`{RECIPE}` replays them):", "", *map(_line, recipe.steps)]
    return "\n".join(lines) + "\n"


def _line(step: Step) -> str:
    return f"- {step.do} {step.arguments}" + "".join(f"; {name} {value:.3g}" for name, value in step.measured.items())
