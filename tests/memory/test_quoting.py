"""Quotations: every line begins with >, ends with no space, and shows no sign that a screen would act on."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from interconnected_ai.memory.quoting import quoted, quoted_plainly

SIGNS = st.sampled_from(
    [*"ab >:\n\n\n  \t\r\x00\x0b\x0c\x1c\x85\x7f", "\u2028", "\u202e", "\ufeff", "\xa0", "\u200d", "я", "字"]
)
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


@given(st.text(SIGNS, max_size=40) | st.text(max_size=20), st.sampled_from(["", "#1 user: ", "кто: "]))
@example("a   \n\n    \nb\t \n", "#1 user: ")
@example(f"a{' ' * 5_000}\n\tb", "")
def test_a_quotation_is_its_lines_each_by_itself(text: str, first: str) -> None:
    lines = [CONTROLS.sub(" ", line) for line in re.split("\r\n|\r|\n", text)]
    shown = [f"> {before}{line}".rstrip() for before, line in zip([first, *[""] * len(lines)], lines, strict=False)]
    assert quoted_plainly(text, first) == "\n".join(shown)


@given(st.text(SIGNS, max_size=40))
def test_no_line_of_a_quotation_passes_for_one_of_ours(text: str) -> None:
    said = quoted(text, "#1 user: ")
    assert all(line.startswith(">") for line in said.split("\n"))
    assert CONTROLS.search(said) is None
