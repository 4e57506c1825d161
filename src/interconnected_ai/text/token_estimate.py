"""How many tokens a text takes, without a tokenizer: counts of what makes tokens, weighed as o200k has them."""

from string import ascii_lowercase, ascii_uppercase, digits

# What a byte is: vowel, common consonant, rare one, capital, digit, space, line break, mark; a byte of a wider character.
_VOWELS, _RARE = "aeiouy", "jkqvwxz"


def _class_of(byte: int) -> str:
    char = chr(byte)
    if byte >= 0x80:
        return "N"
    if char in ascii_lowercase:
        return "a" if char in _VOWELS else "k" if char in _RARE else "b"
    if char in ascii_uppercase:
        return "U"
    return "0" if char in digits else " " if char in " \t" else "\n" if char in "\n\r" else "."


_CLASSES = "".join(_class_of(byte) for byte in range(256)).encode()
_LETTERS_ALIKE = bytes.maketrans(b"bk", b"aa")

# Lead bytes of two-byte characters by script, and of three-byte ones; for E0 and E1 the next byte tells.
_SCRIPTS = {
    "latin": range(0xC2, 0xCD), "greek": range(0xCD, 0xD0), "cyrillic": range(0xD0, 0xD4), "armenian": range(0xD4, 0xD7),
    "hebrew": range(0xD7, 0xD8), "arabic": range(0xD8, 0xDC), "thaana": range(0xDC, 0xE0), "signs": range(0xE2, 0xE3),
    "kana": range(0xE3, 0xE4), "han": range(0xE4, 0xEA), "hangul": range(0xEA, 0xEE), "private": range(0xEE, 0xF0),
    "emoji": range(0xF0, 0xF8),
}  # fmt: skip
