"""Documentation of three libraries, made up and short."""

from importlib import import_module

from interconnected_ai.data import Document

READ = import_module("interconnected_ai.data.harvest.documentation")  # whose `documentation` is what is read

SUBJECTS = {
    "stdlib": "file path process socket thread queue parser archive".split(),
    "numpy": "array matrix axis element dtype vector shape sum".split(),
    "torch": "tensor gradient module layer optimizer device loss autograd".split(),
}


def documents(library: str) -> list[Document]:
    """Ninety made-up docstrings about the library's own things."""
    words = SUBJECTS[library]
    return [
        Document(
            f"Return the {words[n % 8]} of every {words[n // 8 % 8]} number {n}.\n\nThe {words[n * 3 % 8]} stays as it is.",
            f"{library}.{words[n % 8]}_{n}",
        )
        for n in range(90)
    ]
